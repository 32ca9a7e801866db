"""From rows of a mask to polygons with measures."""
