"""``make orchestrate``: twenty simulated organizations under Airflow."""
