"""Tests of the simulator: what it promises to the other tests."""
