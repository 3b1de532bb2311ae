"""Tests with Meltano, targets, databases, and the SQL of the documentation."""
