"""Default styles of results in QGIS: outlined and labelled objects, and transparent rasters.

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

_POLYGON_QML = """\
<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.0" styleCategories="Symbology|Labeling" labelsEnabled="1">
{renderer}
 <labeling type="simple">
  <settings>
   <text-style fieldName="{label}" isExpression="{is_expression}" fontSize="8"
     fontSizeUnit="Point" fontWeight="75" textColor="255,255,255,255" textOpacity="1">
    <text-buffer bufferDraw="1" bufferSize="0.7" bufferSizeUnits="MM" bufferNoFill="1"
      bufferColor="20,20,20,255" bufferOpacity="1" bufferJoinStyle="128"/>
   </text-style>
   <placement placement="1" quadOffset="4" centroidInside="1" centroidWhole="1"
     offsetType="0" priority="5"/>
   <rendering drawLabels="1" obstacle="0" displayAll="0" mergeLines="0" labelPerPart="0"/>
  </settings>
 </labeling>
</qgis>
"""

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
    rgb = ",".join(map(str, LAYER_RGB[number % len(LAYER_RGB)]))
    symbol = _SYMBOL.format(name=0, rgb=rgb, opacity=50, line="solid", width=0.4, fill="solid")
    other = _SYMBOL.format(name=1, rgb=rgb, opacity=0, line="dash", width=0.2, fill="no")
    renderer = _CHOSEN_AND_OTHERS if has_candidates else _ONE_SYMBOL
    return _POLYGON_QML.format(
        renderer=renderer.format(object=symbol, other=other),
        label="CASE WHEN &quot;chosen&quot; THEN &quot;id&quot; END" if has_candidates else "id",
        is_expression=int(has_candidates),
    )


def mask_qml() -> str:
    """The style of a mask."""
    return _RASTER_QML.format(renderer=_MASK)


def probability_qml() -> str:
    """The style of a probability raster."""
    return _RASTER_QML.format(renderer=_PROBABILITY)
