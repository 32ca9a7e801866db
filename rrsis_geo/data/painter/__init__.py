"""Painted overhead scenes with exact masks. Use only `scene.paint_scene` from outside."""
