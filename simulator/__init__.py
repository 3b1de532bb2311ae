"""A local server that behaves like the API, as strict as the real one (not part of the wheel).

It shares no code with the tap: a bug must not cancel itself out. Where the contract is uncertain
it takes the stricter reading.
"""
