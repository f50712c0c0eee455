"""Faults of the SQL server: one file each, named as the fault."""
