"""The nemesis: faults that are injected for real, proved to bite, and always undone."""
