"""Measuring what flies: the int8 files, by the flight engine's own code."""
