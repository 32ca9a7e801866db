"""Image encoders, split into four stages: of timm, and one that is built here."""
