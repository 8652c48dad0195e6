"""Tests of the bridge to ground systems."""
