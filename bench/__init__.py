"""Speed of the tap, compared with a lower bound ("floor") and three other tools."""
