"""Open scenes and read their pixels: sources, bands, validity, radiometry, pixel size, areas."""
