"""Supervised fine-tuning on Ray Train."""
