"""Models: bundles on disk and on the Hub, and the predictor. Imports nothing heavy."""
