"""The manifest of a job: the record of everything that decides its result."""

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import rasterio

from rrsis_geo.errors import ConfigError
from rrsis_geo.segment.plan.outputs import OUTPUT_FLAGS, Outputs
from rrsis_geo.segment.plan.plan import Plan
from rrsis_geo.version import __version__

FORMAT = 3


def make_manifest(plan: Plan, outputs: Outputs, scene_pixels: Sequence[str]) -> dict[str, Any]:
    """The manifest of a plan, as it is read back from JSON.

    Args:
        plan: of the run.
        outputs: of the run.
        scene_pixels: `fingerprint` of the scene.
    """
    record = {
        "format": FORMAT,
        "software": software_versions(),
        **plan.to_dict(),
        "phrases": list(plan.phrases),
        "scene_pixels": list(scene_pixels),
        "outputs": {name: str(path.absolute()) for name, path in outputs.files().items()},
        **output_settings(outputs),
    }
    value: dict[str, Any] = json.loads(json.dumps(record))
    return value


def output_settings(outputs: Outputs) -> dict[str, Any]:
    """What decides the content of the files, besides their paths."""
    settings: dict[str, Any] = {name: getattr(outputs, name) for name in OUTPUT_FLAGS}
    if outputs.creation_options:  # left out otherwise, as in the records of earlier releases
        settings["creation_options"] = dict(outputs.creation_options)
    return settings


def software_versions() -> dict[str, str]:
    """Versions of the software that may change the last bits of a result."""
    return {
        "rrsis-geo": __version__,
        "torch": version("torch"),
        "gdal": rasterio.__gdal_version__,
    }


def read_outputs(record: Mapping[str, Any]) -> Outputs:
    """The outputs in a manifest."""
    paths: dict[str, Any] = {name: Path(path) for name, path in record["outputs"].items()}
    flags: dict[str, Any] = {name: bool(record.get(name, False)) for name in OUTPUT_FLAGS}
    return Outputs(**paths, **flags, creation_options=record.get("creation_options", {}))


def check_same_record(folder: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Check that the manifest of a job equals a new one.

    Raises:
        ConfigError: it does not; the message lists the differences.
    """
    found = find_differences(old, new)
    if found:
        raise ConfigError(
            f"{folder}: the job was started with other settings: {'; '.join(found)}. "
            "Use the same settings to continue, or start over with --restart"
        )


def find_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Differences between two manifests, in words. Shards count only if nothing else differs."""
    before, after = dict(_flatten(old)), dict(_flatten(new))
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    reported = [name for name in names if not name.startswith("shards")]
    if names and not reported:
        return ["the shards have other rows"]
    return [f"{n} was {before.get(n, 'none')}, is {after.get(n, 'none')}" for n in reported]


def _flatten(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every value as JSON text (in which NaN equals NaN), with its dotted name."""
    for name, value in record.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, json.dumps(value)
