"""Placement of the emulated cloud: providers, inventories, claims. Checked against placement 16.0.0 (2026.2)."""
