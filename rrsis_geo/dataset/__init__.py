"""Check a data set, or make one from COCO instances or vector labels."""
