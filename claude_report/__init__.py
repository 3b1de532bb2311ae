"""The spend report: reads the marts of the dbt package and writes one HTML file."""
