"""Prompt templates, one file each, and how data gets into them."""
