"""Train a network from a configuration file and save it as a bundle."""
