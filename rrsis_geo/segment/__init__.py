"""The main job: a scene and expressions in, polygons and rasters out."""
