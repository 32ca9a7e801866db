"""Scores of a bundle on a data set, as the papers compute them."""
