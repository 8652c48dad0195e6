"""Tests of flight.client."""
