"""The folder of a job, and who computes its missing shards."""
