"""What working sets take in a process of their own: `python -m tests.benchmarks.store_parts.resident`.

Prints JSON: resident MB when the store is open and has answered a few users, after every further tenth of
the users, and what the store itself counts at the end.
"""

import gc
import json
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from tests.benchmarks.peers.our_store import OurStore
from tests.benchmarks.store_parts.data import DIM, user_name

WARM_UP = 10


def resident_mb() -> float:
    """Of this process."""
    gc.collect()
    line = next(
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS")
    )
    return int(line.split()[1]) / 1024


def touch(store: OurStore, users: Sequence[int]) -> None:
    """Search each user twice: who comes once is not kept in memory."""
    query = np.ones(DIM, np.float32) / np.float32(DIM**0.5)
    for user in users:
        for _ in range(2):
            store.nearest(user_name(user), query, 10)


def main() -> None:
    folder, cache_mb, users = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    with closing(OurStore(folder, DIM, cache_mb)) as store:
        touch(store, range(WARM_UP))
        resident = [resident_mb()]
        for part in np.array_split(np.arange(WARM_UP, users), 10):
            touch(store, part)
            resident.append(resident_mb())
        stats = store.store.stats()
    counted = {"cached_users": stats.cached_users, "cached_mb": stats.cached_bytes / 2**20}
    print(json.dumps({"resident_mb": resident, **counted}))


if __name__ == "__main__":
    main()
