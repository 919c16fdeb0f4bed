"""A closed world in which training proves itself: invented users with memories, questions, an exact judge."""
