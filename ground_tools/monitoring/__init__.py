"""The input monitor: frames to try it on, its fit, its figures."""
