"""Run the tap against all faults of an API; they are listed in `simulator.faults`."""
