"""Expressions without pixels: tokens, phrases, vocabulary."""

VOCABULARY_FILE = "vocab.txt"
"""File name of a BERT vocabulary, one word piece a line."""
