"""Which objects an expression means: its rules, applied to the objects of a scene or an image."""
