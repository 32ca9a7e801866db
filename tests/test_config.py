"""Settings from TOML: names, types, overrides, and error messages."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from rrsis_geo import config
from rrsis_geo.errors import ConfigError


@dataclass(frozen=True)
class Optim:
    lr: float = 1e-3
    steps: int = 100
    schedule: Literal["cosine", "linear"] = "cosine"
    betas: tuple[float, float] = (0.9, 0.999)

    def __post_init__(self) -> None:
        if self.lr <= 0:
            raise ConfigError(f"lr must be above 0, got {self.lr}")


@dataclass(frozen=True)
class Train:
    data: Path
    optim: Optim = field(default_factory=Optim)
    sizes: tuple[int, ...] = (256,)
    names: Sequence[str] = ()
    net: Mapping[str, Any] = field(default_factory=dict)
    limit: int | None = None
    amp: bool = False


def write(folder: Path, text: str) -> Path:
    path = folder / "train.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_load_nested(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        'data = "images"\nsizes = [256, 512]\namp = true\n'
        '[optim]\nlr = 3e-5\nschedule = "linear"\nbetas = [0.9, 0.98]\n'
        '[net]\ntrunk = "swin"\n[net.deep]\nx = 1\n',
    )
    loaded = config.load(path, Train)
    assert loaded == Train(
        data=Path("images"),
        sizes=(256, 512),
        amp=True,
        optim=Optim(lr=3e-5, schedule="linear", betas=(0.9, 0.98)),
        net={"trunk": "swin", "deep": {"x": 1}},
    )


@pytest.mark.parametrize(
    ("item", "check"),
    [
        ("optim.lr=3e-5", lambda c: c.optim.lr == 3e-5),
        ("optim.lr = 1", lambda c: c.optim.lr == 1.0 and isinstance(c.optim.lr, float)),
        ("optim.schedule=linear", lambda c: c.optim.schedule == "linear"),
        ("data=a/b=c", lambda c: c.data == Path("a/b=c")),
        ("sizes=[1, 2]", lambda c: c.sizes == (1, 2)),
        ("limit=5", lambda c: c.limit == 5),
        ("limit=none", lambda c: c.limit is None),
        ("amp=true", lambda c: c.amp is True),
        ("net.trunk=swin", lambda c: c.net == {"trunk": "swin"}),
    ],
)
def test_overrides(tmp_path: Path, item: str, check: Any) -> None:
    assert check(config.load(write(tmp_path, 'data = "x"\nlimit = 3\n'), Train, [item]))


def test_the_last_override_wins_and_the_argument_is_not_changed() -> None:
    settings = {"optim": {"lr": 1.0}}
    assert config.override(settings, ["optim.lr=2", "optim.lr=3"]) == {"optim": {"lr": 3}}
    assert settings == {"optim": {"lr": 1.0}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('data = "x"\nlimt = 3', r'unknown setting "limt"; did you mean "limit"\?'),
        (
            'data = "x"\n[optim]\nlearning = 3',
            r'unknown setting "optim.learning"; known settings: betas',
        ),
        ("amp = true", r'"data" must be set'),
        ('data = "x"\namp = 1', r'"amp" must be true or false, got 1'),
        ('data = "x"\nlimit = true', r'"limit" must be an integer, got True'),
        ('data = "x"\nlimit = 1.5', r'"limit" must be an integer, got 1.5'),
        ('data = "x"\n[optim]\nlr = "3e-5"', r'"optim.lr" must be a number, got \'3e-5\''),
        ('data = "x"\n[optim]\nschedule = "step"', r"one of 'cosine', 'linear', got 'step'"),
        ('data = "x"\n[optim]\nbetas = [0.9]', r"an array of 2 values"),
        ('data = "x"\nsizes = [1, "a"]', r'"sizes\[1\]" must be an integer'),
        ('data = "x"\nsizes = 3', r'"sizes" must be an array'),
        ('data = "x"\noptim = 3', r'"optim" must be a table'),
        ('data = "x"\n[optim]\nlr = -1', r"\[optim\] lr must be above 0, got -1"),
        ("data = ", r"not valid TOML"),
    ],
)
def test_errors_name_the_file_and_the_setting(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError, match=message) as caught:
        config.load(path, Train)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("item", ["optim.lr", "=3", "optim..lr=3", "data.x=3"])
def test_malformed_overrides_raise(tmp_path: Path, item: str) -> None:
    with pytest.raises(ConfigError, match="override"):
        config.load(write(tmp_path, 'data = "x"'), Train, [item])


def test_a_missing_file_raises(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: no such configuration file"):
        config.load(tmp_path / "none.toml", Train)


def test_round_trip_through_json() -> None:
    before = Train(data=Path("d"), sizes=(1, 2), names=("a",), net={"k": {"n": 1}})
    assert config.build(Train, json.loads(json.dumps(config.to_dict(before)))) == before
