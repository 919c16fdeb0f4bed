"""Encoders of text and images: what turns memories and queries into vectors."""
