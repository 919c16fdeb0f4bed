"""The `rules` engine: no language model at all, patterns over the same prompts and grammar."""
