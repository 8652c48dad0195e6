"""Tests of flight.inference."""
