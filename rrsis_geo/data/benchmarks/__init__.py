"""Readers of the published data sets, one module a layout, and of triplets."""
