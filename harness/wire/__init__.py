"""Framing of the wire protocols: one codec each, shared by client, broker and proxy."""
