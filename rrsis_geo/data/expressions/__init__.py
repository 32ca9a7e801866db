"""The expression writer: referring sentences about labelled images."""
