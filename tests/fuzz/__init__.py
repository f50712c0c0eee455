"""Hostile traffic for a whole bundled cloud: `python -m tests.fuzz`, or `make fuzz`."""
