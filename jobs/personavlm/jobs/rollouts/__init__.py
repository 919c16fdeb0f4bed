"""Rollouts: the agent that serves, over frozen memory, with ids and log-probabilities recorded."""
