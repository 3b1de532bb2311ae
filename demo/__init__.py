"""``make demo``: simulator, tap, PostgreSQL, and a report on the loaded data (not in the wheel)."""
