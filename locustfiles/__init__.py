"""One scenario per file; each also runs under plain `locust -f`."""
