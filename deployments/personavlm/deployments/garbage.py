"""The garbage collector of a process that holds many records: none of them are in cycles."""

import gc

YOUNG = 100_000
"""Objects made before the young ones are looked through; Python's 700 are made by about a hundred turns."""


def spare_collections() -> None:
    """Look through young objects less often, and never again through what is there by now."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG)
