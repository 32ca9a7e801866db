"""rrsis-geo: referring segmentation of georeferenced overhead scenes."""

__version__ = "0.1.0"
