"""The response stage: the one agent loop of serving and training."""
