"""How samples were scored, and whether two evaluations can be compared."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from rrsis_geo.errors import ConfigError, InputError
from rrsis_geo.metrics import Scores, scores_from_dict
from rrsis_geo.model.names import Language

PUBLISHED_SIZES_PX: Final = (480, 512)
"""480 in LAVT, RMSIN, FIANet and CroBIM; 512 in BTDNet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """What must be equal for scores to be comparable.

    Attributes:
        layout: layout of the dataset.
        split: the split.
        samples: number of samples.
        size_px: side of the squares that are compared.
        resize: how images and masks come to this size. "square" does not keep the aspect ratio.
        threshold: probability above which a pixel is the target.
        language: "network" if the network answered alone, "resolved" if rules answered too.
    """

    layout: str
    split: str
    samples: int
    size_px: int
    resize: str = "square"
    threshold: float = 0.5
    language: Language = "network"

    def differences(self, other: "Protocol") -> str:
        """What another protocol does differently, in words; "" if nothing."""
        theirs, ours = asdict(other), asdict(self)
        return ", ".join(
            f"its {_WORDS[name]} is {theirs[name]} and not {ours[name]}"
            for name in _WORDS
            if theirs[name] != ours[name]
        )


_WORDS: Final = {
    "layout": "dataset",
    "split": "split",
    "samples": "number of samples",
    "size_px": "size in pixels",
    "resize": "way to resize",
    "threshold": "threshold",
    "language": "language",
}


def check_published(protocol: Protocol, *, split_size: int) -> None:
    """Check that scores can be compared with published ones.

    Args:
        protocol: how the samples will be scored.
        split_size: number of samples in the split.

    Raises:
        ConfigError: they cannot; the message says what differs.
    """
    reasons = []
    if protocol.samples < split_size:
        reasons.append(f"only {protocol.samples} of {split_size} samples are scored")
    if protocol.size_px not in PUBLISHED_SIZES_PX:
        sizes = " or ".join(map(str, PUBLISHED_SIZES_PX))
        reasons.append(
            f"samples are scored at {protocol.size_px} px and not at {sizes} px (--size)"
        )
    if reasons:
        raise ConfigError(f"not comparable with published scores: {', and '.join(reasons)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherReport:
    """Scores of another evaluation.

    Attributes:
        path: the file of its report.
        model: name of its model.
        protocol: how its samples were scored.
        scores: of the network alone.
        rules: of the answers with rules, None if there are none.
    """

    path: str
    model: str
    protocol: Protocol
    scores: Scores
    rules: Scores | None

    def to_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON."""
        return asdict(self) | {
            "scores": self.scores.to_dict(),
            "rules": None if self.rules is None else self.rules.to_dict(),
        }


def read_report(path: Path, protocol: Protocol) -> OtherReport:
    """Read the report of another evaluation, scores.json or the folder with it.

    Args:
        path: the file.
        protocol: the protocol that it must follow.

    Raises:
        InputError: the file is missing, or is not a report with its protocol.
        ConfigError: it follows another protocol; the message says what differs.
    """
    path = path / "scores.json" if path.is_dir() else path
    try:
        report = json.loads(path.read_bytes())
        other = _parse(path, report)
    except OSError as err:
        raise InputError(f"{path}: cannot be read ({err.strerror})") from err
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as err:
        raise InputError(
            f"{path}: not a report of evaluate with its protocol ({err!r}); evaluate again"
        ) from err
    if differences := protocol.differences(other.protocol):
        raise ConfigError(f"{path}: not comparable, {differences}")
    return other


def _parse(path: Path, report: Mapping[str, Any]) -> OtherReport:
    rules = report["with_rules"]
    return OtherReport(
        path=str(path),
        model=str(report["model"]),
        protocol=Protocol(**report["protocol"]),
        scores=scores_from_dict(report["scores"]),
        rules=None if rules is None else scores_from_dict(rules["scores"]),
    )
