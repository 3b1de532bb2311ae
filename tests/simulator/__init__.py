"""Tests of the simulator, on which the other tests rely."""
