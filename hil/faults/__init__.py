"""Carrying out the faults of a scenario."""
