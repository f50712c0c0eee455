"""The compute service: API v2.1, conductor, scheduler, simulated hypervisors. Checked against Nova 34.0.0 (2026.2)."""
