"""Many organizations: an Airflow DAG, Kubernetes manifests, and a trial of the DAG."""
