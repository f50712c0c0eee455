"""Squall: bulk load, honest latency, database and broker faults, and a verdict, for large OpenStack clouds."""
