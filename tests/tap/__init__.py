"""Tests of the tap against the simulator, without a database."""
