"""Tests of the spend report that need no database."""
