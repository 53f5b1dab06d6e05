"""Benchmarks: figures as ratios or against stated goals, each a module with `--json`. See `docs/benchmarks.md`."""
