"""One shard: read, predict, blend, and write its rows and objects."""
