"""Explore a scene in the browser: a local page with a map, sentences and their objects."""
