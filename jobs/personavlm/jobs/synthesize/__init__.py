"""Synthetic training data: people, their months with the assistant, and what there is to learn from them."""
