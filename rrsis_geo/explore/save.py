"""Write what the user keeps to a file, as `segment` does."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rrsis_geo.errors import InputError
from rrsis_geo.explore.sentence import Sentence
from rrsis_geo.explore.session import Session
from rrsis_geo.segment.plan.outputs import Outputs, layer_names
from rrsis_geo.segment.plan.plan import Plan
from rrsis_geo.segment.results.layers import (
    LayerContent,
    ObjectLayer,
    layer_abstract,
    write_objects,
)
from rrsis_geo.segment.results.meant import layer_facts


def save(session: Session, path: Path, *, overwrite: bool = False) -> int:
    """Write the objects of all sentences that were not dropped, one layer per sentence.

    Args:
        session: whose objects.
        path: of a GeoPackage. A format of one layer gets one file per sentence, see `Outputs`.
        overwrite: replace an existing file.

    Returns:
        Number of objects.

    Raises:
        InputError: nothing was searched yet.
        OutputError: the file cannot be written, or exists.
    """
    sentences = [each for each in session.sentences.values() if not each.searched.is_empty]
    plans = [each.plan for each in sentences if each.plan is not None]
    if not plans:
        raise InputError("there is nothing to save; search for something first")
    scene = session.plan.scene
    expressions = [each.expression for each in sentences]
    outputs = Outputs(path, overwrite=overwrite)
    outputs.check([Path(scene.path), *session.plan.options.input_files()], expressions)
    outputs.check_crs(scene)
    contents = [
        _content(sentence, plan, own, name)
        for sentence, plan, own, name in zip(
            sentences,
            plans,
            outputs.per_expression(expressions),
            layer_names(expressions),
            strict=True,
        )
    ]
    write_objects(contents, scene.crs, background=None)
    return sum(content.layer.n_objects for content in contents)


def _content(sentence: Sentence, plan: Plan, outputs: Outputs, name: str) -> LayerContent:
    (query,) = plan.queries
    scene, threshold = plan.scene, plan.options.threshold
    abstract = layer_abstract(scene.path, plan.model.name, threshold, query)
    share = searched_share(sentence, plan)
    if share < 1:
        abstract = f"{abstract} {describe_share(share)}"
    return LayerContent(
        ObjectLayer(outputs, sentence.expression, query, name, scene.crs),
        sentence.kept_features(),
        abstract,
        {**plan.provenance(sentence.expression), **_by_hand(sentence, share)},
        layer_facts(query, keep_candidates=False),
    )


def _by_hand(sentence: Sentence, share: float) -> Mapping[str, Any]:
    """What is not in the plan: the parts that were searched, and what the user dropped."""
    parts = getattr(sentence.searched, "geoms", [sentence.searched])
    return {
        **({"searched_px": [list(map(int, part.bounds)) for part in parts]} if share < 1 else {}),
        "dropped_at": [list(mark) for mark in sentence.marks],
    }


def searched_share(sentence: Sentence, plan: Plan) -> float:
    """The share of the scene that was searched for a sentence, from 0 to 1."""
    return float(sentence.searched.area) / (plan.scene.height * plan.scene.width)


def describe_share(share: float) -> str:
    """What was searched, in words: "Only 12 % of the scene was searched."."""
    percent = f"Only {100 * share:.0f}" if share >= 0.01 else "Less than 1"
    return f"{percent} % of the scene was searched."
