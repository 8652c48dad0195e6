"""Tests of flight.icd."""
