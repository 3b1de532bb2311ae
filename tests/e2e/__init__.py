"""Tests with what surrounds the tap: Meltano, targets, databases, and the SQL of the pages."""
