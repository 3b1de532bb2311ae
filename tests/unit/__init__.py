"""Tests of modules without the simulator: `test_NAME.py` tests `tap_claude/NAME.py`."""
