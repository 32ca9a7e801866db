"""Convert rows of a mask to polygons with areas and perimeters."""
