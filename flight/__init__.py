"""Rubblemap's flight software: camera frames in, segmentation and uncertainty maps out."""

__version__ = "0.1.0"
