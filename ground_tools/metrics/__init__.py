"""Figures of maps against truth, as pure functions of arrays."""
