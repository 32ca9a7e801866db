"""Score a bundle on a dataset, as the papers do."""
