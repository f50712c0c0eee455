"""Gauges of database, broker, cloud and client, and the Prometheus collector over them."""
