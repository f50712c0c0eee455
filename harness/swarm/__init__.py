"""Locust: user classes, open-loop pacer, recorder, web UI. The only package that may import locust."""
