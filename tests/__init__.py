"""Tests; the modules mirror the package."""
