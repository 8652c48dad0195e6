"""Parts of a spacecraft: its classes, and published sets."""
