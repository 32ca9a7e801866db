"""Painted overhead scenes with exact masks. One door: `scene.paint_scene`."""
