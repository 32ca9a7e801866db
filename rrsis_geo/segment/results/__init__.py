"""From finished shards to layers, rasters, pages and catalogue items."""
