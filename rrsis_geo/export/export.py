"""Write a bundle as ONNX, for programs that run without PyTorch. docs/export.md describes the file.

Install with ``pip install "rrsis-geo[onnx]"``. Torch is imported after all that can be refused.
"""

import json
import logging
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rrsis_geo.errors import ConfigError
from rrsis_geo.files import atomic_file, check_writable
from rrsis_geo.model.catalog import bundle_name, find_bundle
from rrsis_geo.version import __version__

if TYPE_CHECKING:
    from rrsis_geo.model.bundle import Bundle

logger = logging.getLogger(__name__)

LIBRARIES = ("onnx", "onnxscript")
SUFFIX = ".onnx"
ABOUT = ("summary", "categories")
"""Fields of the free-form description that are written to the file."""

Shapes = dict[str, list[int | str]]
"""Name of an input or output -> its shape. The first dimension is "batch"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """What was written.

    Attributes:
        path: the file.
        model: name of the bundle.
        size_bytes: size of the file.
        inputs: of the graph.
        outputs: of the graph.
    """

    path: Path
    model: str
    size_bytes: int
    inputs: Shapes
    outputs: Shapes

    def to_dict(self) -> dict[str, Any]:
        """The report, ready for JSON."""
        return {**asdict(self), "path": str(self.path)}


def default_file(name_or_path: str | Path) -> Path:
    """The file of a bundle in the current folder.

    Raises:
        ModelError: the bundle is missing.
    """
    return Path(bundle_name(find_bundle(name_or_path)).rpartition("/")[2] + SUFFIX)


def export_bundle(name_or_path: str | Path, path: Path, *, overwrite: bool = False) -> ExportReport:
    """Write the network of a bundle as an ONNX file, with float32 weights.

    The graph takes any number of images, each with its own expression. The side of the images and
    the number of tokens are those of the bundle. Tokens that the network does not read are no
    inputs. The metadata of the file have all that a program needs to prepare the inputs.

    Args:
        name_or_path: name, folder or Hub address of the bundle.
        path: file to write, ``.onnx``.
        overwrite: replace an existing file.

    Raises:
        ConfigError: onnx or onnxscript is not installed, or the path does not end in ``.onnx``.
        ModelError: the bundle is missing or damaged, or ONNX cannot express its network.
        OutputError: the file exists, or cannot be written.
    """
    missing = [name for name in LIBRARIES if find_spec(name) is None]
    if missing:
        raise ConfigError(f"{' and '.join(missing)}: not installed; pip install 'rrsis-geo[onnx]'")
    if path.suffix.lower() != SUFFIX:
        raise ConfigError(f"{path}: the name of the file must end in {SUFFIX}")
    check_writable(path, overwrite=overwrite)
    folder = find_bundle(name_or_path)
    import onnx_ir

    from rrsis_geo.export.onnx_graph import trace_network
    from rrsis_geo.model.bundle import load_bundle

    bundle = load_bundle(folder)
    model = trace_network(bundle)
    model.metadata_props.update(make_metadata(bundle))
    with atomic_file(path, overwrite=overwrite) as part:
        onnx_ir.save(model, part)
    logger.info("exported %s", path)
    return ExportReport(
        path=path,
        model=bundle.name,
        size_bytes=path.stat().st_size,
        inputs=_shapes(model.graph.inputs),
        outputs=_shapes(model.graph.outputs),
    )


def make_metadata(bundle: "Bundle") -> dict[str, str]:
    """Metadata of the file: names as they are, all else as JSON."""
    facts = {
        "image": bundle.image.to_dict(),
        "text": bundle.tokenizer.to_dict(),
        "vocabulary": bundle.tokenizer.vocabulary,
        "presence": bundle.presence,
        "calibration": asdict(bundle.calibration),
        "about": {key: bundle.about[key] for key in ABOUT if key in bundle.about},
    }
    return {
        "rrsis-geo": __version__,
        "model": bundle.name,
        "sha256": bundle.sha256,
        "language": bundle.language,
        **{key: json.dumps(value, ensure_ascii=False) for key, value in facts.items()},
    }


def _shapes(values: Any) -> Shapes:
    return {
        value.name: [size if isinstance(size, int) else str(size) for size in value.shape]
        for value in values
    }
