"""Batch jobs on the cluster: replay and, later, training."""
