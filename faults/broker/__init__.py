"""Faults of the message broker: one file each, named as the fault."""
