"""Several scenes in one call."""
