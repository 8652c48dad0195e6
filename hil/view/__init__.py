"""Frames, maps and telemetry in Rerun's viewer, live or from a recording."""
