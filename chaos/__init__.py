"""The tap against everything that goes wrong with an API; `simulator.faults` says what."""
