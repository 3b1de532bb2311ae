"""A local server that behaves like the API and is as strict (not part of the wheel).

It shares no code with the tap, so that the same bug cannot be in both. Where the API's contract is
unclear, it uses the stricter interpretation.
"""
