"""Readers of published datasets, one module per layout, and of triplets."""
