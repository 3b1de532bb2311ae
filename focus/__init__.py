"""``make focus``: what dbt makes of a simulated organization, checked by FOCUS' own validator."""
