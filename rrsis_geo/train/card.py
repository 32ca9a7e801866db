"""The card of a trained bundle: what it learned from, how well it does, how to use it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from rrsis_geo.metrics import Scores
from rrsis_geo.version import __version__

LIBRARIES = ("torch", "timm", "transformers")
COLUMNS = ("samples", "mIoU", "oIoU", "Pr@0.5", "Pr@0.7", "Pr@0.9", "gIoU", "N-acc")

FRONT = """---
library_name: rrsis-geo
pipeline_tag: image-segmentation
tags:
- remote-sensing
- referring-segmentation
- geospatial
---
"""
"""What the Hugging Face Hub reads; elsewhere it does no harm."""

USE = """## Use

```
rrsis-geo segment scene.tif "the truck on the road" --model FOLDER
```

```python
from pathlib import Path
from rrsis_geo import Outputs, SegmentOptions, segment_scene

outputs = Outputs(Path("trucks.gpkg"))
segment_scene("scene.tif", "the truck on the road", outputs, SegmentOptions(model="FOLDER"))
```

FOLDER is where this file lies, or `hf://owner/name` if that is on the Hugging Face Hub."""

LICENCE = """## Licence

None is stated. The weights come of the data and of the starting weights named above, and the terms
of both bear on what may be done with them: read those before you pass the model on, then write here
what you found."""

READING = """Shares from 0 to 1; papers print them times 100. mIoU, oIoU and Pr@t count every
sample, absent targets as 0, as the published tables do; gIoU counts an absent target as 1 where the
answer was nothing, and N-acc is the share of them answered so. These samples chose the step, so
scores on others, such as a test split (`rrsis-geo evaluate`), may be lower."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFacts:
    """What a card tells.

    Attributes:
        title: name of the model.
        summary: one line about it, "" for none.
        net: name of the network.
        parameters: how many it has.
        image: size and ground pixel of what it sees, in words.
        data: what it was trained and validated on: words -> words, such as "training" ->
            "rrsisd train, 12181 samples".
        start: the weights it started from: words -> words; empty if from nothing.
        categories: that it was taught, [] where unknown.
        step: after which the weights were taken.
        steps: of the whole run.
        seed: of the run.
        scores: on the validation samples, after ``step``.
        config: every setting of the run, JSON-able.
    """

    title: str
    summary: str = ""
    net: str
    parameters: int
    image: str
    data: Mapping[str, str]
    start: Mapping[str, str] = field(default_factory=dict)
    categories: tuple[str, ...] = ()
    step: int
    steps: int
    seed: int
    scores: Scores
    config: Mapping[str, Any]


def library_versions() -> dict[str, str]:
    """Versions of rrsis-geo and of the libraries that a trained network depends on."""
    found = {"rrsis-geo": __version__}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def trained_card(facts: CardFacts) -> str:
    """The Markdown of a trained bundle's README.md."""
    start = facts.start or {"weights": "none: random numbers"}
    network = {
        "network": f"{facts.net}, {facts.parameters / 1e6:.1f} M parameters",
        "image": facts.image,
    }
    run = {
        "step": f"{facts.step} of {facts.steps}, the best on the validation samples",
        "seed": str(facts.seed),
        "versions": ", ".join(f"{name} {value}" for name, value in library_versions().items()),
    }
    parts = [
        FRONT + f"# {facts.title}",
        facts.summary,
        _pairs(network),
        USE,
        "## Data",
        _pairs(facts.data),
        f"Categories: {', '.join(facts.categories)}." if facts.categories else "",
        "## Start",
        _pairs(start),
        "## Scores on the validation samples",
        READING,
        _score_table("kind", facts.scores, facts.scores.by_kind),
        _score_table("category", None, facts.scores.by_category),
        "## Run",
        _pairs(run),
        "Every setting:",
        f"```json\n{json.dumps(facts.config, indent=2, ensure_ascii=False)}\n```",
        LICENCE,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _score_table(title: str, everything: Scores | None, groups: Mapping[str, Scores]) -> str:
    """Scores, a row a group; "" where there is nothing to list."""
    rows = {} if everything is None else {"all": everything}
    rows |= groups
    if not rows:
        return ""
    lines = [_row((title, *COLUMNS)), "|" + "---|" * (1 + len(COLUMNS))]
    return "\n".join(lines + [_row((name, *_cells(scores))) for name, scores in rows.items()])


def _cells(scores: Scores) -> tuple[str, ...]:
    """The columns of a row; where every target is absent only the last two say anything."""
    present = scores.n > scores.n_absent
    shares = (
        scores.miou if present else None,
        scores.oiou if present else None,
        *(scores.precision[at] if present else None for at in (0.5, 0.7, 0.9)),
        scores.giou,
        scores.n_acc,
    )
    return (str(scores.n), *("" if share is None else f"{share:.3f}" for share in shares))


def _pairs(facts: Mapping[str, str]) -> str:
    return "\n".join(["| | |", "|---|---|", *(_row(pair) for pair in facts.items())])


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
