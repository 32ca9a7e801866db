"""Make polygons from a probability raster of an earlier run, without running the network.

The result equals that of a run with the other threshold, except for pixels whose probability is
within half a step of the raster (0.002) of the threshold.
"""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rrsis_geo.errors import ConfigError
from rrsis_geo.files import absolute_path
from rrsis_geo.geo.layers.layer_files import layer_name
from rrsis_geo.geo.objects.candidates import Candidates, make_candidates, number_features
from rrsis_geo.geo.objects.features import Border, FeatureOptions, Features
from rrsis_geo.geo.scene.aoi import bbox_area
from rrsis_geo.geo.scene.radiometry import Stretch, measure_stretch
from rrsis_geo.geo.scene.scene import Scene, open_scene
from rrsis_geo.progress import Progress, no_progress
from rrsis_geo.resolve.splitting import split_phrases
from rrsis_geo.segment.plan.advice import advise_on_threshold
from rrsis_geo.segment.plan.expressions import clean_expression
from rrsis_geo.segment.plan.landmarks import all_landmarks, read_queries
from rrsis_geo.segment.plan.options import DEFAULTS, SegmentOptions
from rrsis_geo.segment.plan.outputs import Outputs
from rrsis_geo.segment.plan.plan import check_size
from rrsis_geo.segment.probability_raster import (
    ObjectReader,
    check_bands,
    model_of,
    open_mask_writer,
    smallest_object_px,
)
from rrsis_geo.segment.results.facts import ResultFacts
from rrsis_geo.segment.results.finish import warn_of_pictures, without, write_page_and_item
from rrsis_geo.segment.results.given import read_given
from rrsis_geo.segment.results.layers import (
    Background,
    LayerContent,
    ObjectLayer,
    layer_abstract,
    needs_picture,
    read_background,
    write_objects,
)
from rrsis_geo.segment.results.meant import (
    all_chosen,
    check_metres,
    layer_facts,
    meant_features,
    scenes_frame,
)
from rrsis_geo.segment.results.report import (
    collect_warnings,
    dropped_text,
    notebook_html,
    paths_to_text,
    read_objects,
    smallest_text,
)
from rrsis_geo.text.query.records import Find, Query
from rrsis_geo.version import __version__

if TYPE_CHECKING:
    import geopandas as gpd

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolygonReport:
    """Report of `polygonize`.

    Attributes:
        probability: path of the raster as given.
        expression: the expression of the raster.
        model: name of the model, "" if the raster does not contain it.
        threshold: probability above which a pixel is the target.
        outputs: files by kind.
        n_objects: number of polygons.
        n_candidates: number of polygons in the layer, those that are not chosen included; None if
            the layer has only the chosen ones.
        dropped: in words, how many objects were too small; "" if none was.
        area_m2: total area on the ground; None if the raster has no CRS.
        seconds: duration.
        warnings: all warnings, each once.
        unwritten: by kind, why a picture or the page could not be made.
    """

    probability: str
    expression: str
    model: str
    threshold: float
    outputs: dict[str, Path]
    n_objects: int
    n_candidates: int | None
    dropped: str
    area_m2: float | None
    seconds: float
    warnings: tuple[str, ...] = field(default=())
    unwritten: dict[str, str] = field(default_factory=dict)

    def to_geodataframe(self) -> "gpd.GeoDataFrame":
        """The polygons, read from the vector file.

        Raises:
            InputError: the file does not exist any more, or cannot be read.
        """
        return read_objects(self.outputs["vector"], layer_name(self.expression))

    def _repr_html_(self) -> str:
        """The preview and a table, as a notebook shows them."""
        return notebook_html([self], self.dropped, self.warnings)

    def to_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        return {
            **fields,
            "layer": layer_name(self.expression),
            "outputs": paths_to_text(self.outputs),
            "warnings": list(self.warnings),
        }


def polygonize(
    probability: str | Path,
    outputs: Outputs,
    options: SegmentOptions | None = None,
    *,
    expression: str | None = None,
    scene: str | Path | None = None,
    command: str = "",
    started: float | None = None,
    progress: Progress | None = None,
) -> PolygonReport:
    """Make polygons from a probability raster, for example with another threshold.

    Args:
        probability: raster of one band of probabilities, scaled as its metadata say. An alpha
            band may follow.
        outputs: files to write; a probability raster is not among them.
        options: only `threshold`, `min_area_m2`, `simplify_m`, `outline`, `split` and `landmarks`
            are used.
        expression: the expression of the raster; None reads it from the raster's metadata.
        scene: background of the pictures; None shows the probability.
        command: command line, for the report.
        started: `time.perf_counter` when the duration in the report begins; None is that of the
            call.
        progress: called with progress.

    Raises:
        ConfigError: the expression is unknown, or an option in metres needs a CRS that the raster
            does not have.
        InputError: the raster, the scene or the expression cannot be used.
        OutputError: an output cannot be written.
    """
    started = started or time.perf_counter()
    options = options or SegmentOptions()
    if outputs.probability is not None:
        raise ConfigError("the probability is the input of this run and cannot be an output too")
    sources = [probability, *options.input_files(), *([] if scene is None else [scene])]
    outputs.check([Path(source) for source in sources])
    with (
        collect_warnings() as warnings,
        open_scene(probability, bands=[1], allow_no_crs=True) as raster,
    ):
        check_size(raster.info)
        outputs.check_crs(raster.info)
        check_bands(raster)
        expression = expression or raster.reader.dataset.tags().get("expression")
        if not expression:
            raise ConfigError(
                f"{probability}: has no tag with its expression; give the EXPRESSION too"
            )
        expression = clean_expression(expression)
        (query,) = read_queries([expression], options.landmarks)
        given = _check_rules(raster, query, options)
        layer = ObjectLayer(outputs, expression, query, layer_name(expression), raster.info.crs)
        inputs = _Inputs(raster, scene, given)
        highest = _write_layer(layer, inputs, options, progress or no_progress)
        for text in advise_on_threshold(expression, highest, options.threshold):
            logger.warning(text)
        unwritten = warn_of_pictures([layer])
        facts = ResultFacts(
            source=raster.info,
            results=[layer.result()],
            model=model_of(raster),
            threshold=options.threshold,
            outputs=without(outputs.files(), unwritten),
            seconds=time.perf_counter() - started,
            warnings=tuple(warnings),
            command=command,
            settings=(
                ("made from", f"{probability}, without running the network"),
                ("threshold", f"{options.threshold:g}"),
            ),
        )
        unwritten |= write_page_and_item(facts, [layer], outputs, raster.reader.dataset)
        smallest = smallest_text(options.min_area_m2, smallest_object_px(raster), raster.info.gsd_m)
    dropped = dropped_text(layer.n_dropped, smallest)
    return _make_report(replace(facts, warnings=tuple(warnings)), dropped, unwritten)


class _Inputs(NamedTuple):
    """What polygons are made of."""

    raster: Scene
    background: str | Path | None  # scene of the pictures
    landmarks: Mapping[str, Features]  # given, by phrase


def _check_rules(raster: Scene, query: Query, options: SegmentOptions) -> dict[str, Features]:
    """The landmarks that are given, after a check that the rules need no other objects.

    Raises:
        ConfigError: they do, or they need metres and the raster has no CRS.
    """
    given = read_given([query], options.landmarks, [raster.info])
    sources = [source for source in query.sources if isinstance(source, Find)]
    others = [phrase for source in sources for each in source.excluded for phrase in each.phrases()]
    others += [phrase for each in all_landmarks([query]) for phrase in each.phrases()]
    missing = [phrase for phrase in others if phrase not in given]
    if missing or len(sources) < len(query.sources):
        raise ConfigError(
            f'{raster.info.path}: "{query}" needs other objects than those of the raster; run '
            "segment on the scene, without --from-probability, or give landmarks with --landmark"
        )
    check_metres(query, raster.info)
    return given


def _resolve(
    query: Query, batches: Iterator[Candidates], inputs: _Inputs, *, keep_candidates: bool
) -> Iterator[Features]:
    """The objects of the raster that an expression means."""
    if query.is_plain:
        features = number_features(batches)
        return all_chosen(features) if keep_candidates else features
    objects = list(batches)  # the raster is read once

    def read(phrase: str, is_target: bool) -> Iterator[Candidates | Features]:
        return iter(objects if is_target else [inputs.landmarks[phrase]])

    query = replace(query, sources=query.sources[:1])
    return meant_features(
        query, read, scenes_frame([inputs.raster.info]), keep_candidates=keep_candidates
    )


def _make_report(facts: ResultFacts, dropped: str, unwritten: Mapping[str, str]) -> PolygonReport:
    (result,) = facts.results
    return PolygonReport(
        probability=facts.source.path,
        expression=result.expression,
        model=facts.model,
        threshold=facts.threshold,
        outputs=without(facts.outputs, unwritten),
        n_objects=result.n_objects,
        n_candidates=result.n_candidates,
        dropped=dropped,
        area_m2=result.area_m2,
        seconds=facts.seconds,
        warnings=tuple(facts.warnings),
        unwritten=dict(unwritten),
    )


def _write_layer(
    layer: ObjectLayer, inputs: _Inputs, options: SegmentOptions, progress: Progress
) -> float:
    """Write the polygons and the mask. They appear together, when both are whole.

    Returns:
        The highest probability of a pixel.
    """
    raster, mask = inputs.raster, layer.outputs.mask
    query = layer.query
    info, background = raster.info, None
    if needs_picture(layer.outputs):
        background = _read_background(raster, inputs.background)
    options_of_mask = layer.outputs.raster_options()
    with (
        nullcontext()
        if mask is None
        else open_mask_writer(raster, mask, options_of_mask) as mask_writer
    ):
        reader = ObjectReader(raster, mask_writer, options.threshold)
        candidates = make_candidates(
            reader.read(progress),
            FeatureOptions(
                transform=info.transform,
                crs=info.crs,
                gsd_m=info.gsd_m,
                expression=layer.expression,
                model=model_of(raster),
                border=Border(info.shape),
                split=split_phrases(query, split=options.split).targets,
                min_area_m2=options.min_area_m2 or 0.0,
                min_pixels=smallest_object_px(raster) if options.min_area_m2 is None else 1,
                count_dropped=layer.count_dropped,
                simplify_m=options.simplify_m,
                outline=options.outline,
            ),
        )
        keep_candidates = layer.outputs.keep_candidates
        features = _resolve(query, candidates, inputs, keep_candidates=keep_candidates)
        facts = layer_facts(query, keep_candidates=keep_candidates)
        abstract = layer_abstract(info.path, model_of(raster), options.threshold, query)
        content = LayerContent(layer, features, abstract, _provenance(raster, options), facts)
        write_objects(
            [content], info.crs, background=None if background is None else lambda: background
        )
    return reader.highest


def _provenance(raster: Scene, options: SegmentOptions) -> Mapping[str, Any]:
    """The raster and the options, ready for JSON."""
    info = raster.info
    return {
        "software": f"rrsis-geo {__version__}",
        "probability": {
            "path": absolute_path(info.path),
            "size_bytes": info.size_bytes,
            "mtime": info.mtime,
            "tags": raster.reader.dataset.tags(),
        },
        "options": {
            **{n: getattr(options, n) for n in ("threshold", "min_area_m2", "simplify_m")},
            **{
                name: getattr(options, name)
                for name in ("split", "outline")
                if getattr(options, name) != getattr(DEFAULTS, name)
            },
            "landmarks": [landmark.to_manifest() for landmark in options.landmarks],
        },
    }


def _read_background(raster: Scene, scene: str | Path | None) -> Background:
    """The scene at the raster's place, or the probability itself."""
    info = raster.info
    if scene is None:
        scale = float(raster.reader.dataset.scales[0]) or 1.0
        return read_background(raster, Stretch(kind="linear", lo=(0.0,), hi=(1 / scale,)))
    corners = [(0, 0), (info.width, 0), (0, info.height), (info.width, info.height)]
    xs, ys = zip(*(info.transform @ corner for corner in corners), strict=True)
    with open_scene(scene, allow_no_crs=True) as whole:
        part = whole.crop(bbox_area(whole.info, (min(xs), min(ys), max(xs), max(ys)), info.crs))
        return read_background(part, measure_stretch(whole))
