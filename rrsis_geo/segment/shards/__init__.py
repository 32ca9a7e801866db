"""Shards: read rows of windows, predict, blend, and write the rasters and objects of each shard."""
