"""Keystone v3 of the emulated cloud: identity, tokens, catalog. Checked against keystone 30.0.0 (2026.2)."""
