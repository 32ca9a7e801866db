"""Check a dataset, or make one from COCO instances or vector labels."""
