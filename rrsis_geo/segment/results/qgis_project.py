"""A QGIS project of a result: the scene below its rasters and layers, in their styles.

The project is XML as QGIS 3.22 and later read it, in a zip file. Its paths are relative, so that a
folder with the result and the scene can be moved.
"""

import os
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple
from xml.sax.saxutils import escape, quoteattr

from affine import Affine
from rasterio.crs import CRS

from rrsis_geo.errors import OutputError
from rrsis_geo.files import atomic_file
from rrsis_geo.geo.crs import as_proj
from rrsis_geo.geo.styles import mask_qml, polygon_qml, probability_qml, style_body
from rrsis_geo.segment.plan.outputs import holds_layers
from rrsis_geo.segment.results.facts import ResultFacts
from rrsis_geo.segment.results.layers import ObjectLayer

_RASTER_STYLES: Final = {"mask": mask_qml, "probability": probability_qml}
_ID: Final = "rrsis_geo_"
"""Before the id of each layer: QGIS replaces ids of at most 10 characters."""


class _MapLayer(NamedTuple):
    """A layer of the project."""

    id: str
    name: str
    kind: str  # "vector" or "raster"
    source: str
    style: str  # elements of QML, "" for the default of QGIS
    crs: CRS | None
    is_shown: bool = True


def write_project(
    path: Path, facts: ResultFacts, layers: Sequence[ObjectLayer], *, overwrite: bool = False
) -> None:
    """Write the project of a result.

    Args:
        path: of the project.
        facts: of the result. Its other outputs must exist.
        layers: of the same expressions, written.
        overwrite: replace an existing file.

    Raises:
        OutputError: the file exists or cannot be written.
    """
    text = _project(facts, list(_map_layers(path, facts, layers)))
    with atomic_file(path, overwrite=overwrite) as part:
        try:
            with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr(f"{path.stem}.qgs", text)
        except OSError as err:
            raise OutputError(f"{path}: cannot be written ({err.strerror or err})") from err


def _map_layers(
    path: Path, facts: ResultFacts, layers: Sequence[ObjectLayer]
) -> Iterator[_MapLayer]:
    """The layers from top to bottom: objects, rasters, the scene."""
    crs = facts.source.crs
    for number, layer in enumerate(layers):
        vector = layer.outputs.vector
        source = _relative(vector, path)
        if holds_layers(vector):
            source += f"|layername={layer.name}"
        qml = polygon_qml(number, has_candidates=layer.outputs.keep_candidates)
        yield _MapLayer(_ID + layer.name, layer.expression, "vector", source, style_body(qml), crs)
    for key, output in facts.outputs.items():
        kind = key.partition(":")[0]
        if kind in _RASTER_STYLES:
            style = style_body(_RASTER_STYLES[kind]())
            name, source = f"{kind}: {facts.expressions_of(key)}", _relative(output, path)
            yield _MapLayer(f"{_ID}{key}", name, "raster", source, style, crs, is_shown=False)
    scene = facts.source.path
    yield _MapLayer(f"{_ID}scene:", Path(scene).name, "raster", _relative(scene, path), "", crs)


def _relative(file: str | Path, project: Path) -> str:
    """The path of a file from the folder of the project; an address as it is."""
    if not Path(file).exists():
        return str(file)
    try:
        return Path(os.path.relpath(Path(file).absolute(), project.absolute().parent)).as_posix()
    except ValueError:  # another drive on Windows
        return str(Path(file).absolute())


def _project(facts: ResultFacts, layers: Sequence[_MapLayer]) -> str:
    crs, title = facts.source.crs, facts.expressions_of("")
    tree = "\n".join(
        f"  <layer-tree-layer id={quoteattr(each.id)} name={quoteattr(each.name)} "
        f'checked="{"Qt::Checked" if each.is_shown else "Qt::Unchecked"}"/>'
        for each in layers
    )
    extent = "".join(
        f"<{name}>{value!r}</{name}>"
        for name, value in zip(("xmin", "ymin", "xmax", "ymax"), _bounds(facts), strict=True)
    )
    maps = "\n".join(_map_layer(each) for each in layers)
    return f"""\
<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.0" projectname={quoteattr(title)}>
 <title>{escape(title)}</title>
 <projectCrs>{_crs_xml(crs)}</projectCrs>
 <layer-tree-group>
{tree}
 </layer-tree-group>
 <mapcanvas name="theMapCanvas">
  <extent>{extent}</extent>
  <destinationsrs>{_crs_xml(crs)}</destinationsrs>
 </mapcanvas>
 <projectlayers>
{maps}
 </projectlayers>
 <properties>
  <Paths><Absolute type="bool">false</Absolute></Paths>
  <SpatialRefSys>
   <ProjectionsEnabled type="int">{int(crs is not None)}</ProjectionsEnabled>
  </SpatialRefSys>
 </properties>
</qgis>
"""


def _map_layer(layer: _MapLayer) -> str:
    provider = "ogr" if layer.kind == "vector" else "gdal"
    geometry = ' geometry="Polygon" labelsEnabled="1"' if layer.kind == "vector" else ""
    return f"""\
  <maplayer type="{layer.kind}"{geometry}>
   <id>{escape(layer.id)}</id>
   <datasource>{escape(layer.source)}</datasource>
   <layername>{escape(layer.name)}</layername>
   <srs>{_crs_xml(layer.crs)}</srs>
   <provider encoding="UTF-8">{provider}</provider>
{layer.style}
  </maplayer>"""


def _crs_xml(crs: CRS | None) -> str:
    if crs is None:
        return ""
    return f"<spatialrefsys><wkt>{escape(as_proj(crs).to_wkt())}</wkt></spatialrefsys>"


def _bounds(facts: ResultFacts) -> tuple[float, float, float, float]:
    """Left, bottom, right and top of the result."""
    source = facts.source
    transform: Affine = source.transform
    corners = [(0, 0), (source.width, 0), (source.width, source.height), (0, source.height)]
    xs, ys = zip(*(transform @ corner for corner in corners), strict=True)
    return min(xs), min(ys), max(xs), max(ys)
