"""Behind `python -m chaos`: rounds of faults on a cluster of its own. `conduct` is one round, `faults` is the list."""
