"""The card of a trained bundle: its data, its scores, and how to use it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from rrsis_geo.config import to_dict
from rrsis_geo.images import ImageSpec
from rrsis_geo.metrics import Scores
from rrsis_geo.model.bundle import Bundle
from rrsis_geo.train.config import TrainConfig
from rrsis_geo.train.samples import RunData
from rrsis_geo.version import __version__

LIBRARIES = ("torch", "timm")
COLUMNS = ("samples", "mIoU", "oIoU", "Pr@0.5", "Pr@0.7", "Pr@0.9", "gIoU", "N-acc")

FRONT_MATTER = """---
library_name: rrsis-geo
pipeline_tag: image-segmentation
tags:
- remote-sensing
- referring-segmentation
- geospatial
---
"""
"""Metadata for the Hugging Face Hub."""

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

FOLDER is the folder of this file, or `hf://owner/name` if the bundle is on the Hugging Face Hub."""

LICENCE = """## Licence

No licence is stated. The weights depend on the data and on the initial weights named above, and the
terms of both limit how the model may be used. Read these terms before you publish the model, and
write the licence here."""

METRICS = """Scores are from 0 to 1; papers print them times 100. mIoU, oIoU and Pr@t count every
sample, absent targets as 0, as published tables do. gIoU counts an absent target as 1 if the
predicted mask is empty; N-acc is the share of absent targets with an empty mask."""
CHOSEN = """The step was chosen on these samples, so scores on others, such as a test split
(`rrsis-geo evaluate`), may be lower."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFacts:
    """Contents of a card.

    Attributes:
        title: name of the model.
        summary: one line about the model, "" for none.
        net: name of the network.
        parameters: number of parameters.
        image: size and ground sample distance of the images, in words.
        data: training and validation data in words, for example "training" -> "rrsisd train, 12181
            samples".
        start: initial weights in words; empty if the network started from random numbers.
        categories: categories of the training targets, () if unknown.
        step: step after which the weights were saved.
        steps: steps of the whole run.
        best_by: score by which the step was chosen; None for the last validated step.
        seed: random seed of the run.
        scores: validation scores after ``step``.
        config: all settings of the run, JSON-able.
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
    best_by: str | None
    seed: int
    scores: Scores
    config: Mapping[str, Any]


class TrainedModel(NamedTuple):
    """Weights of a run after a step.

    Attributes:
        step: the step.
        steps: steps of the whole run.
        scores: validation scores.
        best_by: score by which the step was chosen; None for the last validated step.
    """

    step: int
    steps: int
    scores: Scores
    best_by: str | None


def collect_facts(
    config: TrainConfig, data: RunData, bundle: Bundle, model: TrainedModel
) -> CardFacts:
    """Facts about a bundle, its run and its data."""
    init = {name: str(value) for name, value in to_dict(config.init).items() if value is not None}
    return CardFacts(
        title=config.name,
        summary=config.summary,
        net=bundle.net.name,
        parameters=sum(value.numel() for value in bundle.net.parameters()),
        image=_describe_image(bundle.image),
        data=_describe_data(config, data, model.scores),
        start=init,
        categories=tuple(sorted(data.categories)),
        step=model.step,
        steps=model.steps,
        best_by=model.best_by,
        seed=config.seed,
        scores=model.scores,
        config=to_dict(config),
    )


def _describe_image(image: ImageSpec) -> str:
    size = f"{image.size_px} px"
    if image.gsd_range_m is not None:
        finest, coarsest = image.gsd_range_m
        return f"{size}, {finest:g} to {coarsest:g} m per pixel"
    return size if image.gsd_m is None else f"{size}, {image.gsd_m:g} m per pixel"


def _describe_data(config: TrainConfig, data: RunData, scores: Scores) -> dict[str, str]:
    absent = f", {scores.n_absent} of them with an absent target" if scores.n_absent else ""
    n_val = f"{scores.n} samples{absent}"
    if config.benchmark is not None:
        benchmark = config.benchmark
        augmented = ", augmented" if benchmark.augment else ""
        return {
            "dataset": f"{benchmark.root} ({benchmark.layout})",
            "training": f'split "{benchmark.train_split}", {data.epoch_samples} samples{augmented}',
            "validation": f'split "{benchmark.val_split}", {n_val}',
        }
    assert config.data is not None
    stream = config.data
    painted_share = 1.0 if stream.instances is None else stream.painted_share
    real = "none"
    if stream.instances is not None:
        real = f"{_join_paths(stream.instances)}, random crops"
        if stream.whole_share:
            real += f" and {100 * stream.whole_share:.0f} % whole images, squashed to squares"
    real_val = ""
    if stream.val_instances is not None:
        real_val = f", real ones from {_join_paths(stream.val_instances)}"
    return {
        "real images": real,
        "painted scenes": f"{100 * painted_share:.0f} % of the samples",
        "validation": n_val + real_val,
    }


def _join_paths(paths: Path | Sequence[Path]) -> str:
    return str(paths) if isinstance(paths, Path) else " and ".join(map(str, paths))


def find_library_versions() -> dict[str, str]:
    """Versions of rrsis-geo and of the libraries that a trained network depends on."""
    versions = {"rrsis-geo": __version__}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def render_card(facts: CardFacts) -> str:
    """The README.md of a trained bundle, as Markdown."""
    start = facts.start or {"weights": "random numbers"}
    chosen = "the last that was validated"
    if facts.best_by is not None:
        chosen = f"the best on the validation samples by {facts.best_by}"
    network = {
        "network": f"{facts.net}, {facts.parameters / 1e6:.1f} M parameters",
        "image": facts.image,
    }
    run = {
        "step": f"{facts.step} of {facts.steps}, {chosen}",
        "seed": str(facts.seed),
        "versions": ", ".join(f"{name} {value}" for name, value in find_library_versions().items()),
    }
    parts = [
        FRONT_MATTER + f"# {facts.title}",
        facts.summary,
        _render_pairs(network),
        USE,
        "## Data",
        _render_pairs(facts.data),
        f"Categories: {', '.join(facts.categories)}." if facts.categories else "",
        "## Initial weights",
        _render_pairs(start),
        "## Scores on the validation samples",
        METRICS if facts.best_by is None else f"{METRICS} {CHOSEN}",
        _render_scores("kind", facts.scores, facts.scores.by_kind),
        _render_scores("category", None, facts.scores.by_category),
        "## Run",
        _render_pairs(run),
        "All settings:",
        f"```json\n{json.dumps(facts.config, indent=2, ensure_ascii=False)}\n```",
        LICENCE,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _render_scores(title: str, total: Scores | None, groups: Mapping[str, Scores]) -> str:
    """A table with a row per group; "" if there are no rows."""
    rows = {} if total is None else {"all": total}
    rows |= groups
    if not rows:
        return ""
    lines = [_render_row((title, *COLUMNS)), "|" + "---|" * (1 + len(COLUMNS))]
    return "\n".join(
        lines + [_render_row((name, *_score_cells(scores))) for name, scores in rows.items()]
    )


def _score_cells(scores: Scores) -> tuple[str, ...]:
    """Cells of a row. If all targets are absent, only gIoU and N-acc are shown."""
    has_present = scores.n > scores.n_absent
    shares = (
        scores.miou if has_present else None,
        scores.oiou if has_present else None,
        *(scores.precision[at] if has_present else None for at in (0.5, 0.7, 0.9)),
        scores.giou,
        scores.n_acc,
    )
    return (str(scores.n), *("" if share is None else f"{share:.3f}" for share in shares))


def _render_pairs(facts: Mapping[str, str]) -> str:
    return "\n".join(["| | |", "|---|---|", *(_render_row(pair) for pair in facts.items())])


def _render_row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
