"""Tests of modules without a server: `test_NAME.py` tests `tap_claude/NAME.py`."""
