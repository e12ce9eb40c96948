"""Clusters of machines on one host, for development, tests and the demo."""
