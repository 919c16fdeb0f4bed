"""Finding in one user's records without a language model."""
