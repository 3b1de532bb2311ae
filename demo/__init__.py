"""``make demo``: simulator, tap, PostgreSQL and a look at what landed (not part of the wheel)."""
