"""How QGIS shows a layer at first: outlined objects, lightly filled, labelled with their ids."""

OUTLINE_RGB = (255, 32, 140)
"""Pink: a colour that roofs, roads, fields, woods and water do not have."""
LAYER_RGB = (
    OUTLINE_RGB,
    (0, 220, 255),
    (255, 215, 0),
    (150, 90, 255),
    (120, 255, 0),
    (255, 110, 0),
)
"""Of the layers of one file, in turn: pink, cyan, yellow, violet, lime, orange."""

_QML = """\
<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.0" styleCategories="Symbology|Labeling" labelsEnabled="1">
 <renderer-v2 type="singleSymbol" symbollevels="0" enableorderby="0" forceraster="0">
  <symbols>
   <symbol type="fill" name="0" alpha="1" clip_to_extent="1" force_rhr="0">
    <layer class="SimpleFill" enabled="1" locked="0" pass="0">
     <Option type="Map">
      <Option type="QString" name="color" value="{rgb},50"/>
      <Option type="QString" name="joinstyle" value="miter"/>
      <Option type="QString" name="outline_color" value="{rgb},255"/>
      <Option type="QString" name="outline_style" value="solid"/>
      <Option type="QString" name="outline_width" value="0.4"/>
      <Option type="QString" name="outline_width_unit" value="MM"/>
      <Option type="QString" name="style" value="solid"/>
     </Option>
    </layer>
   </symbol>
  </symbols>
 </renderer-v2>
 <labeling type="simple">
  <settings>
   <text-style fieldName="id" isExpression="0" fontSize="8" fontSizeUnit="Point" fontWeight="75"
     textColor="255,255,255,255" textOpacity="1">
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


def polygon_qml(number: int = 0) -> str:
    """The style of a layer of objects, in QGIS's XML (read by 3.22 and later).

    Args:
        number: of the layer in its file, from 0; neighbours differ in colour.
    """
    return _QML.format(rgb=",".join(map(str, LAYER_RGB[number % len(LAYER_RGB)])))
