"""The classes of a pixel, and how masks come about."""
