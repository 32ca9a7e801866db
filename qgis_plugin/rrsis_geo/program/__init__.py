"""How rrsis-geo is found, started and followed. Nothing here imports QGIS."""
