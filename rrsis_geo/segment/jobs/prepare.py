"""Prepare a run: load the model, open the scene and make the plan, or read it from a job.

The functions that load a model import it themselves, after all that can be checked without torch.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rrsis_geo.errors import ConfigError
from rrsis_geo.geo.scene.options import OpenScene, open_part
from rrsis_geo.geo.scene.radiometry import Stretch, measure_stretch
from rrsis_geo.images import ImageSpec
from rrsis_geo.model.calibration import Calibration
from rrsis_geo.model.catalog import find_bundle
from rrsis_geo.model.facts import ModelFacts
from rrsis_geo.model.manifest import read_manifest
from rrsis_geo.segment.jobs.job import Job, refuse_damaged
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.plan import PreparedRun, make_plan
from rrsis_geo.segment.plan.predictor import WindowPredictor


def check_model(options: SegmentOptions) -> SegmentOptions:
    """The options with the folder of the chosen bundle, after the checks that need no torch.

    Raises:
        ModelError: the bundle is missing, or its ``model.json`` is damaged.
    """
    folder = find_bundle(options.model)
    read_manifest(folder)
    return replace(options, model=str(folder))


def load_predictor(options: SegmentOptions) -> WindowPredictor:
    """Load the chosen bundle on the chosen device.

    Raises:
        ConfigError: the device or the dtype is unknown.
        ModelError: the bundle is missing or damaged.
        DeviceError: this machine has no such device.
    """
    options = check_model(options)
    from rrsis_geo.model.bundle import load_bundle
    from rrsis_geo.model.predictor import Predictor

    bundle = load_bundle(options.model)
    return Predictor(
        bundle,
        options.device,
        options.dtype,
        threads=options.threads,
        presence=options.presence,
        tta=options.tta,
    )


def load_for_planning(options: SegmentOptions) -> tuple[WindowPredictor, ModelFacts]:
    """Load the chosen bundle on the CPU, to plan a run that other processes compute.

    Returns:
        The predictor, and its facts with the dtype that those processes will use.

    Raises:
        ConfigError: the device or the dtype is unknown.
        ModelError: the bundle is missing or damaged.
        DeviceError: this machine has no such device.
    """
    options = check_model(options)
    from rrsis_geo.model.predictor import choose_device, choose_dtype, dtype_name

    dtype = choose_dtype(options.dtype, choose_device(options.device))
    predictor = load_predictor(replace(options, device="cpu", dtype="fp32"))
    return predictor, replace(predictor.facts, dtype=dtype_name(dtype))


def check_same_model(expected: ModelFacts, predictor: WindowPredictor, job: Path) -> None:
    """Check that a predictor is the model that a job was started with.

    Raises:
        ConfigError: it has other weights, another dtype, another threshold of presence, another
            calibration of scores, or predicts windows mirrored or not.
    """
    found = predictor.facts
    if _identity(found) != _identity(expected):
        raise ConfigError(
            f"{job}: the job was started with the model {_describe(expected)}; this process loaded "
            f"{_describe(found)}"
        )


def _identity(model: ModelFacts) -> tuple[object, ...]:
    """What the results of a model depend on."""
    return model.sha256, model.dtype, model.presence, model.calibration, model.tta


def _describe(model: ModelFacts) -> str:
    presence = "" if model.presence is None else f" with presence threshold {model.presence:.6g}"
    score = "" if model.calibration.is_identity else f", calibration {model.calibration}"
    tta = ", mirrored too" if model.tta else ""
    return f"{model.name} ({model.sha256[:12]}) in {model.dtype}{presence}{score}{tta}"


def prepare_run(
    scene: OpenScene, expressions: Sequence[str], model: ModelFacts, options: SegmentOptions
) -> PreparedRun:
    """Measure the stretch of a scene and plan a run over all of its shards.

    Raises:
        ConfigError: an option does not fit the scene or the model.
        InputError: the scene cannot be read.
    """
    stretch = measure_stretch(scene.whole)
    plan = make_plan(scene.part.info, expressions, model, options, stretch)
    return PreparedRun(scene.part, plan, plan.shards)


@contextmanager
def reopen_run(job: Job) -> Iterator[PreparedRun]:
    """Open the scene of a job, with the plan in its manifest.

    Raises:
        InputError: the scene is missing, or the manifest is damaged.
        ConfigError: the scene changed after the job started.
    """
    record = job.record
    with refuse_damaged(job.folder):
        path = str(record["scene"]["path"])
        expressions = tuple(map(str, record["expressions"]))
        options = SegmentOptions.from_manifest(record["options"])
        model = ModelFacts(
            name=record["model"]["name"],
            image=ImageSpec.from_dict(record["model"]["image"]),
            sha256=record["model"]["sha256"],
            dtype=record["model"]["dtype"],
            language=record["model"].get("language", "resolved"),
            presence=record["model"].get("presence"),
            calibration=Calibration.from_record(record["model"]),
            tta=record["model"].get("tta", False),
        )
        stretch = Stretch.from_dict(record["stretch"])
    with open_part(path, options.scene) as (_, part):
        plan = make_plan(part.info, expressions, model, options, stretch)
        prepared = PreparedRun(part, replace(plan, shards=job.shards), job.shards)
        job.check(prepared, job.outputs)
        yield prepared
