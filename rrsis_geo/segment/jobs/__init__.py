"""Jobs: completed shards on disk, and the processes that compute them."""
