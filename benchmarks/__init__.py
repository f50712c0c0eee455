"""Benches: `python -m benchmarks` runs all; each module by itself too. They print the machine, medians, bars."""
