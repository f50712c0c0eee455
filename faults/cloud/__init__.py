"""Faults of the cloud as its users meet it: one file each, named as the fault."""
