"""Recordings of the service's traffic as MCAP files, and their replay."""
