"""Names of the shipped model, of a bundle's files and of its settings. Imports nothing heavy."""

from typing import Final, Literal

from rrsis_geo.text import VOCABULARY_FILE

DEFAULT_BUNDLE = "btdnet-lite"
"""The model that ships with the package. The default of every command and of the library."""

MODEL_FILE = "model.json"
WEIGHTS_FILE = "weights.safetensors"
CARD_FILE = "README.md"
BUNDLE_FILES = (MODEL_FILE, WEIGHTS_FILE, VOCABULARY_FILE, CARD_FILE)
"""All files of a bundle. Only these are uploaded to the Hub and downloaded from it."""

Precision = Literal["int8", "fp16", "fp32"]
"""Precisions of stored weights, see `rrsis_geo.model.storage`."""

DTYPE_NAMES: Final = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
"""The data types that a network can compute in: the value of an option, and the name in torch."""

Language = Literal["network", "resolved"]
"""Who resolves words of position, size and order about a single image: the network, which was
trained on them, or the rules that also resolve them over a scene."""
