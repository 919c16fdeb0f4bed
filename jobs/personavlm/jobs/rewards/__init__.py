"""Rewards: what an episode is worth, judged as soon as it has ended."""
