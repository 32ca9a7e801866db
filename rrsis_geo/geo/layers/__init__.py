"""Vector files in every format, read back, and pictures of them."""
