"""COCO instances, crops of them, and the numbered stream of training samples."""
