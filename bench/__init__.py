"""Benchmarks: figures as ratios or against stated goals, each a module with `--json`. Not tests; see `docs/benchmarks.md`."""
