"""Timings: `python -m benchmarks` prints one table of ratios."""
