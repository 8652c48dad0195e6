"""Tests of flight.service."""
