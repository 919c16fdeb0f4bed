"""Prompt templates, how data gets into them, and the check of packs that others write."""
