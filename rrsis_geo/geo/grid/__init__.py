"""Windows over a scene: rows read once, logits blended, rasters written block by block."""
