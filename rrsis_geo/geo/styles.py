"""Styles of results in QGIS: outlined and labelled objects, windows, and transparent rasters.

Styles are in the XML format of QGIS (QML), for version 3.22 and later.
"""

from typing import Final

OUTLINE_RGB = (255, 32, 140)
"""Pink, a colour that does not occur in roofs, roads, fields, forests and water."""
LAYER_RGB = (
    OUTLINE_RGB,
    (0, 220, 255),
    (255, 215, 0),
    (150, 90, 255),
    (120, 255, 0),
    (255, 110, 0),
)
"""Colours of the layers of a file: pink, cyan, yellow, violet, lime, orange."""

MASK_COLOURS: Final = {0: (0, 0, 0, 0), 1: (*OUTLINE_RGB, 255)}
"""Colour table of a mask, for programs that ignore the style."""

SCORE_CLASSES: Final = (
    (0.0, 0.2, (255, 222, 90)),
    (0.2, 0.4, (255, 180, 70)),
    (0.4, 0.6, (255, 130, 90)),
    (0.6, 0.8, (255, 80, 115)),
    (0.8, 1.0, OUTLINE_RGB),
)
"""Classes of the style by score: above, up to, colour. From yellow to pink."""
LABEL_MIN_MM: Final = 4
"""Smaller objects on the screen have no label: it would hide them."""
LABEL_MAX_SCALE: Final = 25_000
"""Labels begin at 1 : 25,000."""

STATUSES: Final = ("ok", "wrong")
"""What the user may say about an object in the column "status". `dataset from-vectors` leaves out
objects that are wrong."""
_NULL = "{2839923C-8B7D-419E-B84B-CA2FE9B80EC7}"  # how QGIS writes "no value" in a list of values

_POLYGON_QML = """\
<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.0" styleCategories="Symbology|Labeling|MapTips|LayerConfiguration|Forms"
  labelsEnabled="1">
{renderer}
 <labeling type="simple">
  <settings>
   <text-style fieldName="{label}" isExpression="{is_expression}" fontSize="8"
     fontSizeUnit="Point" fontWeight="75" textColor="{text_rgb},255" textOpacity="1">
    <text-buffer bufferDraw="1" bufferSize="0.7" bufferSizeUnits="MM" bufferNoFill="1"
      bufferColor="20,20,20,255" bufferOpacity="1" bufferJoinStyle="128"/>
   </text-style>
   <placement placement="1" quadOffset="4" centroidInside="1" centroidWhole="1"
     offsetType="0" priority="5"/>
   <rendering drawLabels="1" obstacle="0" displayAll="0" mergeLines="0" labelPerPart="0"
     scaleVisibility="1" scaleMin="0" scaleMax="{max_scale}" minFeatureSize="{min_mm}"/>
  </settings>
 </labeling>
 <mapTip>&lt;b>[% "expression" %]&lt;/b>&lt;br>[% {name} %]&lt;br>[% {area} %]</mapTip>
 <previewExpression>{name}</previewExpression>
 <fieldConfiguration>
  <field name="status">
   <editWidget type="ValueMap">
    <config>
     <Option type="Map">
      <Option name="map" type="List">
{statuses}
      </Option>
     </Option>
    </config>
   </editWidget>
  </field>
 </fieldConfiguration>
</qgis>
"""
_STATUS = """\
       <Option type="Map"><Option name="{text}" type="QString" value="{value}"/></Option>"""
_NAME = """concat('#', "id", ', score ', format_number("score", 3))"""
_AREA = """coalesce(format_number("area_m2", 2) || ' m\N{SUPERSCRIPT TWO}', '')"""

_ONE_SYMBOL = """\
 <renderer-v2 type="singleSymbol" symbollevels="0" enableorderby="0" forceraster="0">
  <symbols>
{object}
  </symbols>
 </renderer-v2>"""

_CHOSEN_AND_OTHERS = """\
 <renderer-v2 type="RuleRenderer" symbollevels="0" enableorderby="0" forceraster="0">
  <rules key="{{0b36b1f0-6d1f-4a5e-9d43-1b3a5c8f0000}}">
   <rule key="{{0b36b1f0-6d1f-4a5e-9d43-1b3a5c8f0001}}" filter="&quot;chosen&quot;" symbol="0"
     label="chosen"/>
   <rule key="{{0b36b1f0-6d1f-4a5e-9d43-1b3a5c8f0002}}" filter="ELSE" symbol="1"
     label="other candidates"/>
  </rules>
  <symbols>
{object}
{other}
  </symbols>
 </renderer-v2>"""

_BY_SCORE = """\
 <renderer-v2 type="graduatedSymbol" attr="score" graduatedMethod="GraduatedColor"
   symbollevels="0" enableorderby="0" forceraster="0">
  <ranges>
{ranges}
  </ranges>
  <symbols>
{symbols}
  </symbols>
  <classificationMethod id="Custom"/>
 </renderer-v2>"""

_RANGE = """\
   <range symbol="{number}" lower="{lower}" upper="{upper}" label="{lower} - {upper}"
     render="true"/>"""

_WINDOWS_QML = """\
<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.0" styleCategories="Symbology">
{renderer}
</qgis>
"""

_SYMBOL = """\
   <symbol type="fill" name="{name}" alpha="1" clip_to_extent="1" force_rhr="0">
    <layer class="SimpleFill" enabled="1" locked="0" pass="0">
     <Option type="Map">
      <Option type="QString" name="color" value="{rgb},{opacity}"/>
      <Option type="QString" name="joinstyle" value="miter"/>
      <Option type="QString" name="outline_color" value="{rgb},255"/>
      <Option type="QString" name="outline_style" value="{line}"/>
      <Option type="QString" name="outline_width" value="{width}"/>
      <Option type="QString" name="outline_width_unit" value="MM"/>
      <Option type="QString" name="style" value="{fill}"/>
     </Option>
    </layer>
   </symbol>"""

_PINK = "#{:02x}{:02x}{:02x}".format(*OUTLINE_RGB)

_RASTER_QML = """\
<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.0" styleCategories="Symbology">
 <pipe>
{renderer}
  <brightnesscontrast brightness="0" contrast="0" gamma="1"/>
  <huesaturation saturation="0" grayscaleMode="0" colorizeOn="0"/>
  <rasterresampler maxOversampling="2"/>
 </pipe>
 <blendMode>0</blendMode>
</qgis>
"""

_MASK = f"""\
  <rasterrenderer type="paletted" band="1" opacity="0.6" alphaBand="-1" nodataColor="">
   <rasterTransparency/>
   <colorPalette>
    <paletteEntry value="0" color="#000000" alpha="0" label="not the target"/>
    <paletteEntry value="1" color="{_PINK}" alpha="255" label="target"/>
   </colorPalette>
  </rasterrenderer>"""

# QGIS applies the scale of the file, so values are probabilities here.
_PROBABILITY = f"""\
  <rasterrenderer type="singlebandpseudocolor" band="1" opacity="0.8" alphaBand="-1"
    classificationMin="0" classificationMax="1" nodataColor="">
   <rasterTransparency/>
   <rastershader>
    <colorrampshader colorRampType="INTERPOLATED" classificationMode="1" clip="0"
      minimumValue="0" maximumValue="1" labelPrecision="2">
     <item value="0" color="#000000" alpha="0" label="0"/>
     <item value="0.1" color="#000000" alpha="0" label="0.1"/>
     <item value="0.5" color="#ffd23c" alpha="180" label="0.5"/>
     <item value="1" color="{_PINK}" alpha="255" label="1"/>
    </colorrampshader>
   </rastershader>
  </rasterrenderer>"""


def polygon_qml(number: int = 0, *, has_candidates: bool = False) -> str:
    """The style of a layer of objects.

    Args:
        number: number of the layer in its file, from 0; it selects the colour.
        has_candidates: the layer has a column "chosen". Objects that are not chosen are thin dashed
            outlines without a label.
    """
    rgb = _rgb_text(LAYER_RGB[number % len(LAYER_RGB)])
    symbol = _SYMBOL.format(name=0, rgb=rgb, opacity=50, line="solid", width=0.4, fill="solid")
    other = _SYMBOL.format(name=1, rgb=rgb, opacity=0, line="dash", width=0.2, fill="no")
    renderer = _CHOSEN_AND_OTHERS if has_candidates else _ONE_SYMBOL
    return _layer_qml(
        renderer.format(object=symbol, other=other), rgb, has_candidates=has_candidates
    )


def score_qml(number: int = 0, *, has_candidates: bool = False) -> str:
    """Another style of a layer of objects: colours by score, see `SCORE_CLASSES`.

    Args:
        number: number of the layer in its file, from 0; it selects the colour of the labels.
        has_candidates: see `polygon_qml`.
    """
    symbols, ranges = [], []
    for i, (lower, upper, rgb) in enumerate(SCORE_CLASSES):
        ranges.append(_RANGE.format(number=i, lower=lower, upper=upper))
        text = _rgb_text(rgb)
        symbols.append(
            _SYMBOL.format(name=i, rgb=text, opacity=90, line="solid", width=0.4, fill="solid")
        )
    renderer = _BY_SCORE.format(ranges="\n".join(ranges), symbols="\n".join(symbols))
    return _layer_qml(
        renderer, _rgb_text(LAYER_RGB[number % len(LAYER_RGB)]), has_candidates=has_candidates
    )


def windows_qml() -> str:
    """The style of the windows: thin outlines, which leave the scene visible."""
    symbol = _SYMBOL.format(name=0, rgb="255,255,255", opacity=0, line="dot", width=0.2, fill="no")
    return _WINDOWS_QML.format(renderer=_ONE_SYMBOL.format(object=symbol))


def _layer_qml(renderer: str, text_rgb: str, *, has_candidates: bool) -> str:
    return _POLYGON_QML.format(
        renderer=renderer,
        label="CASE WHEN &quot;chosen&quot; THEN &quot;id&quot; END" if has_candidates else "id",
        is_expression=int(has_candidates),
        text_rgb=text_rgb,
        max_scale=LABEL_MAX_SCALE,
        min_mm=LABEL_MIN_MM,
        name=_NAME,
        area=_AREA,
        statuses="\n".join(
            _STATUS.format(text=text, value=value)
            for text, value in (("not checked", _NULL), *((each, each) for each in STATUSES))
        ),
    )


def _rgb_text(rgb: tuple[int, int, int]) -> str:
    return ",".join(map(str, rgb))


def mask_qml() -> str:
    """The style of a mask."""
    return _RASTER_QML.format(renderer=_MASK)


def probability_qml() -> str:
    """The style of a probability raster."""
    return _RASTER_QML.format(renderer=_PROBABILITY)


def style_body(qml: str) -> str:
    """The elements of a style without its root, as a layer of a project contains them."""
    return qml.partition("<qgis")[2].partition(">")[2].rpartition("</qgis>")[0]
