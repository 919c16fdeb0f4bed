"""Training data: the authors' formats and ours, read as streams, checked row by row, rendered to ids."""
