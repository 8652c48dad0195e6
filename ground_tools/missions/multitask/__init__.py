"""Segmentation together with super-resolution: aerial images, and frames without masks."""
