"""A connection to a cloud: transport, SDK sessions, verbs, readiness watchers, janitor, preflight."""
