"""``rrsis-geo evaluate`` as users call it."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny_net
from typer.testing import CliRunner

from rrsis_geo import cli, console
from rrsis_geo.evaluate import evaluation as evaluate
from rrsis_geo.images import ImageSpec
from rrsis_geo.model.bundle import Bundle
from rrsis_geo.published import published_rows

MakeBenchmark = Callable[..., Path]
runner = CliRunner()
pytestmark = pytest.mark.usefixtures("own_logging")


@pytest.fixture(autouse=True)
def _model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Load a small untrained model for every model name."""
    net = tiny_net.make_net(presence=False)
    spec = ImageSpec(size_px=64)
    bundle = Bundle("tiny", Path("tiny"), net, tiny_net.make_tokenizer(), spec, {}, "0" * 64)
    monkeypatch.setattr(evaluate, "load_bundle", lambda name: bundle)


def run(root: Path, layout: str, *more: str, split: str = "test") -> tuple[int, str, str]:
    arguments = ["--data", str(root), "--layout", layout, "--split", split, "--device", "cpu"]
    result = runner.invoke(cli.app, ["evaluate", *arguments, *more])
    return result.exit_code, result.stdout, result.stderr


def scores_of(root: Path, layout: str, *more: str) -> dict[str, float]:
    code, out, err = run(root, layout, "--json", "--dtype", "fp32", *more)
    assert code == 0, err
    scores: dict[str, float] = json.loads(out)["scores"]
    return scores


def test_tables(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("triplets", splits={"test": 5}, absent=True)
    code, out, err = run(root, "triplets", "--native", "--dtype", "fp32")
    assert code == 0, err
    scores = scores_of(root, "triplets")
    lines = out.splitlines()
    assert lines[0] == "tiny on triplets test"
    assert "5, 1 with an absent target" in lines[1]
    row = next(line for line in lines if line.startswith("at 64 px")).split()
    assert row[-1] == f"{100 * scores['miou']:.2f}"
    assert row[-2] == f"{100 * scores['oiou']:.2f}"
    for words in ("at the masks' own sizes", "N-acc", "by kind", "by category (from label)"):
        assert words in out
    assert "average of" in out


def test_json_is_the_only_output(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("rrsisd", splits={"test": 3})
    code, out, err = run(root, "rrsisd", "--json", "--compare", "--size", "480", "--native")
    assert code == 0, err
    record = json.loads(out)
    assert record["scores"]["n"] == record["native"]["n"] == 3
    assert {row["dataset"] for row in record["published"]} == {"RRSIS-D"}
    assert record["cautions"]
    assert "3481 are published" in err.replace("\n", " ")


def test_json_runs_show_their_progress(
    make_benchmark: MakeBenchmark, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a log file has no sign of life for as long as the run takes."""
    monkeypatch.setattr(console, "LOG_EVERY_S", 1e-9)
    root = make_benchmark("rrsisd", splits={"test": 3})
    code, out, err = run(root, "rrsisd", "--json", "--batch-size", "1")
    assert code == 0, err
    assert json.loads(out)["scores"]["n"] == 3
    assert "samples: 3 of 3" in err
    assert "samples: " not in run(root, "rrsisd", "--json", "--quiet")[2]


def test_compare_prints_our_row_among_published_ones(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("refsegrs", splits={"test": 4})
    code, out, err = run(root, "refsegrs", "--compare", "--size", "480")
    assert code == 0, err
    scores = scores_of(root, "refsegrs", "--size", "480")
    lines = out.splitlines()
    table = lines[lines.index("comparison with published scores on the test split") + 2 :]
    table = table[: table.index("sources")]
    rows = published_rows("refsegrs", "test")
    assert len(table) == 1 + len({(row.method, *row.metrics.values()) for row in rows}) < len(rows)
    (ours,) = (line for line in table if line.startswith("> tiny"))
    assert "this run" in ours
    assert f"{100 * scores['miou']:.2f}" in ours
    assert any(line.split()[0] == "BTDNet" and "67.95" in line for line in table)
    assert "BTDNet arXiv:2502.08486 Table I" in out
    assert "limits of the comparison" in out
    assert "FIANet on test" in out


def test_against_prints_both_reports(make_benchmark: MakeBenchmark, tmp_path: Path) -> None:
    root = make_benchmark("refsegrs", splits={"test": 4})
    other = tmp_path / "other"
    assert run(root, "refsegrs", "-o", str(other))[0] == 0
    report = json.loads((other / "scores.json").read_text())
    report |= {"model": "baseline", "scores": report["scores"] | {"miou": 0.987}}
    (other / "scores.json").write_text(json.dumps(report))
    code, out, err = run(root, "refsegrs", "--against", str(other))
    assert code == 0, err
    lines = out.splitlines()
    table = lines[lines.index("comparison with other reports") + 2 :]
    assert table[0].split()[0] == "baseline"
    assert "98.70" in table[0]
    assert table[1].startswith("> tiny")
    code, out, err = run(root, "refsegrs", "--against", str(other), "--size", "96")
    assert (code, out) == (2, "")
    assert "its size in pixels is 64 and not 96" in " ".join(err.split())


def test_bootstrap_prints_intervals(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("triplets", splits={"test": 6}, absent=True)
    code, out, err = run(root, "triplets", "--bootstrap", "50", "--native")
    assert code == 0, err
    lines = out.splitlines()
    start = lines.index("95 % intervals of 50 bootstrap draws over the images")
    assert lines[start + 1].split() == [
        *("Pr@0.5", "Pr@0.7", "Pr@0.9", "oIoU", "mIoU", "gIoU", "N-acc", "T-acc"),
    ]
    assert lines[start + 2].startswith("at 64 px")
    assert lines[start + 2].count(" to ") == 8


def test_out_save_masks_and_gallery(make_benchmark: MakeBenchmark, tmp_path: Path) -> None:
    root = make_benchmark("risbench", splits={"test": 3})
    options = (
        *("--out", str(tmp_path / "out"), "--save-masks", str(tmp_path / "masks")),
        *("--gallery", str(tmp_path / "page.html")),
    )
    code, out, err = run(root, "risbench", *options)
    assert code == 0, err
    assert out.count("wrote") == 3
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "scores.json",
        "scores.csv",
        "samples.csv",
    }
    with (tmp_path / "out" / "samples.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["presence"] for row in rows] == ["", "", ""]  # this model has no presence output
    assert {path.name for path in (tmp_path / "masks").iterdir()} == {row["mask"] for row in rows}
    assert all(not row["mask"].endswith(".png.png") for row in rows)
    code, out, err = run(root, "risbench", *options)
    assert (code, out) == (5, "")
    assert "--overwrite" in err
    assert run(root, "risbench", *options, "--overwrite")[0] == 0


def test_limit(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("refsegrs", splits={"test": 4})
    code, out, err = run(root, "refsegrs", "--limit", "2")
    assert code == 0, err
    assert "2 of 4" in out


@pytest.mark.parametrize(
    ("layout", "more", "code", "message"),
    [
        ("rrsis-d", (), 2, 'unknown layout "rrsis-d"'),
        ("triplets", ("--compare",), 2, "nothing is published"),
        ("triplets", ("--size", "100"), 2, "multiple of 32"),
        ("triplets", ("--category-by", "colour"), 2, "colour"),
        ("refsegrs", (), 3, "output_phrase"),
    ],
)
def test_errors(
    make_benchmark: MakeBenchmark, layout: str, more: tuple[str, ...], code: int, message: str
) -> None:
    root = make_benchmark("triplets")
    got, out, err = run(root, layout, *more)
    assert (got, out) == (code, "")
    assert message in err


def test_missing_folder(tmp_path: Path) -> None:
    code, out, err = run(tmp_path / "nowhere", "rrsisd")
    assert (code, out) == (3, "")
    assert "nowhere: no such folder" in err.replace("\n", "")


def test_both_answers_of_a_model_whose_language_is_resolved(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("triplets", splits={"test": 5}, absent=True)
    code, out, err = run(root, "triplets", "--dtype", "fp32", "--language", "resolved", "--native")
    assert code == 0, err
    for words in (
        "network alone, at 64 px",
        "with rules, at 64 px",
        "with rules, at the masks' own sizes",
        "by kind, with rules",
        "mIoU, network alone",
    ):
        assert words in out
    answered = [line for line in out.splitlines() if line.strip().startswith("answered")]
    assert sum(int(line.split()[1]) for line in answered) == 5
    code, out, err = run(root, "triplets", "--dtype", "fp32", "--json")
    assert code == 0, err
    assert json.loads(out)["with_rules"] is None
