"""Measurement of networks, and statistics of the results."""
