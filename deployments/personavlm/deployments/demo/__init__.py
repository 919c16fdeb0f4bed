"""The demo: two months of one invented person, replayed into a running service."""
