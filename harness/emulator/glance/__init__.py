"""Glance v2 of the emulated cloud: images and their data. Checked against glance 33.0.0 (2026.2)."""
