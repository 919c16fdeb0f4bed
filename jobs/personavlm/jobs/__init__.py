"""Training and batch jobs on the cluster."""
