"""Windows over a scene: read rows, blend logits, write rasters."""
