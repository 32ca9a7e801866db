"""Everything that decides the result of a run, fixed before the first window is read."""
