"""Tests of hil.fly."""
