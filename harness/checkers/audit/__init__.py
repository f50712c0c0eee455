"""The audit: one checker per file, found by `harness.checkers.registry`; each asks one question of what a run left."""
