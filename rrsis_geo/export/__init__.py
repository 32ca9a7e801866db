"""Write models for other programs."""
