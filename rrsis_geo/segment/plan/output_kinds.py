"""The kinds of files that a run writes: the one table that all code about outputs reads.

A new kind is a row of `OUTPUT_KINDS`, a field of `Outputs`, an option of ``rrsis-geo segment``
and its writer in `segment/results`.

Only the standard library is imported, because the command line takes its help from here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from rrsis_geo.geo.layers.formats import VECTOR_FORMATS, Companion, FileFormat

COG_TYPE: Final = "image/tiff; application=geotiff; profile=cloud-optimized"
STAC_ITEM_TYPE: Final = "application/geo+json"

_COG = FileFormat(media_type=COG_TYPE, companions={".qml": Companion("application/xml", "style")})
_HTML = FileFormat(media_type="text/html")


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputKind:
    """A kind of file that a run can write.

    Attributes:
        name: of the kind: a field of `Outputs`, and its key in reports and STAC items.
        help: text of its option on the command line.
        formats: the formats it can be written in, by suffix.
        scene_ending: appended to the name of a scene to name the file, if a run has many scenes.
        stac_roles: its roles as an asset of a STAC item.
        stac_title: its title as an asset; ``{}`` stands for the expressions.
        is_per_expression: each expression gets its own file. False if one file is about all
            expressions. For vector layers the format decides, see `holds_layers`.
        needs_vector_per_scene: it describes the vector file of one scene, so it cannot be written
            if the polygons of many scenes go into one file.
        bytes_per_px: size of the compressed raster with overviews, measured on real scenes and
            rounded up. 0 for files whose size does not grow with the scene.
    """

    name: str
    help: str
    formats: Mapping[str, FileFormat]
    scene_ending: str
    stac_roles: tuple[str, ...]
    stac_title: str
    is_per_expression: bool = True
    needs_vector_per_scene: bool = False
    bytes_per_px: float = 0.0

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Suffixes that select a format, the usual one first."""
        return tuple(self.formats)


_KINDS = (
    OutputKind(
        name="vector",
        help=f"Vector file of the polygons. The suffix selects the format: "
        f"{' '.join(VECTOR_FORMATS)}. Default: SCENE_EXPRESSION.gpkg in the current folder. "
        "-o - prints GeoJSON. "
        "For many scenes: a folder (one file per scene) or a file (all scenes in one layer).",
        formats=VECTOR_FORMATS,
        scene_ending=".gpkg",
        stac_roles=("data",),
        stac_title="{}: polygons",
    ),
    OutputKind(
        name="mask",
        help="Also write the mask as GeoTIFF: 1 target, 0 other, 255 no data. "
        "--min-area is not applied to it.",
        formats={".tif": _COG, ".tiff": _COG},
        scene_ending="_mask.tif",
        stac_roles=("data",),
        stac_title="{}: mask",
        bytes_per_px=0.05,
    ),
    OutputKind(
        name="probability",
        help="Also write the probability as GeoTIFF.",
        formats={".tif": _COG, ".tiff": _COG},
        scene_ending="_probability.tif",
        stac_roles=("data",),
        stac_title="{}: probability",
        bytes_per_px=0.5,
    ),
    OutputKind(
        name="preview",
        help="Also write a picture of the scene with the objects, a PNG.",
        formats={".png": FileFormat(media_type="image/png")},
        scene_ending="_preview.png",
        stac_roles=("overview",),
        stac_title="{}: the polygons on the scene",
    ),
    OutputKind(
        name="report",
        help="Also write a report as a self-contained HTML page.",
        formats={".html": _HTML, ".htm": _HTML},
        scene_ending=".html",
        stac_roles=("metadata",),
        stac_title="{}: the result on one page",
        is_per_expression=False,
        needs_vector_per_scene=True,
    ),
    OutputKind(
        name="qgis_project",
        help="Also write a QGIS project with the scene and all layers, in their styles.",
        formats={".qgz": FileFormat(media_type="application/zip")},
        scene_ending=".qgz",
        stac_roles=("visual",),
        stac_title="{}: QGIS project",
        is_per_expression=False,
        needs_vector_per_scene=True,
    ),
    OutputKind(
        name="stac_item",
        help="Also write a STAC item, a JSON file that describes the result and lists all files.",
        formats={".json": FileFormat(media_type=STAC_ITEM_TYPE)},
        scene_ending=".json",
        stac_roles=("metadata",),
        stac_title="{}: STAC item",
        is_per_expression=False,
        needs_vector_per_scene=True,
    ),
)

OUTPUT_KINDS: Final[Mapping[str, OutputKind]] = MappingProxyType(
    {kind.name: kind for kind in _KINDS}
)
"""All kinds by name, in the order in which files are listed: the vector file first."""

WINDOWS_LAYER_HELP: Final = (
    "Also write the windows as a layer of the GeoPackage, with the model's score of each."
)
LANDMARKS_HELP: Final = (
    "Also write the landmarks of the expressions as layers of the GeoPackage, to check distances."
)
APPEND_HELP: Final = (
    "Add the layer to the GeoPackage if it exists; all else in it stays. A layer of this "
    "expression is replaced with --overwrite only."
)
CREATION_OPTIONS_HELP: Final = (
    "Creation option of GDAL, such as COMPRESS=ZSTD. It goes to the files that have it: the "
    "polygons, or the mask and the probability. Repeatable."
)
CANDIDATES_HELP: Final = (
    "Also write the objects among which the rules of an expression chose, with chosen = false."
)
