"""From an address to pixels: sources, bands, validity, radiometry, ground pixel, area."""
