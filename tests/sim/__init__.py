"""A deterministic simulation of the real cores: N sentinels, M nodes, a Redis and a network in one thread, one seed.

`python -m tests.sim --seeds 300 --json` runs many seeds; `--seed S` replays one and prints its conversation. Time is
virtual and every die comes from the seed, so a failing seed fails again, step by step.
"""
