"""A user's labels on a model's grid, cut into training chips."""
