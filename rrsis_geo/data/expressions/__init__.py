"""The expression writer: referring expressions about labelled images."""
