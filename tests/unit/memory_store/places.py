"""Where the stores of tests lie: in folders, or, if the environment names a bucket, all of them there.

``PERSONAVLM_TEST_BUCKET`` is a JSON object: ``uri``, a bucket with a prefix, and ``options``, LanceDB's
``storage_options``. `tests/integration/test_store_in_a_bucket.py` sets it; any other bucket can be tried too.
"""

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

from personavlm.memory_store.storage.settings import StorageSettings

VARIABLE = "PERSONAVLM_TEST_BUCKET"
_BUCKET = json.loads(os.environ.get(VARIABLE, "null"))
FEW = 2


def place(folder: Path) -> str | Path:
    """The folder itself, or the part of the bucket that stands for it."""
    if _BUCKET is None:
        return folder
    return f"{_BUCKET['uri']}/{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}"


def stored(settings: StorageSettings) -> StorageSettings:
    """The settings themselves, or as a bucket admits them."""
    return replace(settings, durability="commit", options=_BUCKET["options"]) if _BUCKET else settings


def examples(count: int) -> int:
    """How many examples a property is tried with: few over a bucket, where each commit is many requests."""
    return min(count, FEW) if _BUCKET else count
