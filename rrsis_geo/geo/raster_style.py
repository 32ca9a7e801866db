"""How QGIS shows result rasters at first: what is no target is clear, so that the scene shows."""

from typing import Final

from rrsis_geo.geo.qgis_style import OUTLINE_RGB

MASK_COLOURS: Final = {0: (0, 0, 0, 0), 1: (*OUTLINE_RGB, 255)}
"""Colour table of a mask, for programs that read no style."""

_PINK = "#{:02x}{:02x}{:02x}".format(*OUTLINE_RGB)

_QML = """\
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

# QGIS applies the scale that the file names, so that the values are probabilities here.
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


def mask_qml() -> str:
    """The style of a mask, in QGIS's XML (read by 3.22 and later)."""
    return _QML.format(renderer=_MASK)


def probability_qml() -> str:
    """The style of probabilities, likewise."""
    return _QML.format(renderer=_PROBABILITY)
