"""A model on disk, on the Hub, and at work: bundles and the predictor."""
