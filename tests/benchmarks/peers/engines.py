"""The engines that are compared, what each needs, and what a returned add of each survives."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tests.benchmarks.peers.chroma import Chroma
from tests.benchmarks.peers.faiss_flat import FaissFlat
from tests.benchmarks.peers.items import Peer
from tests.benchmarks.peers.mem0_local import Mem0
from tests.benchmarks.peers.postgres import PgVector
from tests.benchmarks.peers.raw_lancedb import RawLanceDb
from tests.benchmarks.peers.sqlite_numpy import SqliteNumpy


@dataclass(frozen=True, slots=True)
class Engine:
    """``modules`` must be importable. ``share`` is the part of the users that it is given: less than all
    where loading would take longer than everything else, which can only make its searches faster."""

    name: str
    modules: tuple[str, ...]
    make: Callable[[Path, int], Peer]
    durable: bool
    share: float = 1.0

    @property
    def missing(self) -> tuple[str, ...]:
        """Modules that are not installed."""
        return tuple(module for module in self.modules if find_spec(module) is None)

    def open(self, folder: Path, dim: int) -> Peer:
        """A new engine in a folder of its own, for vectors of ``dim`` numbers."""
        own = folder / self.name.replace(" ", "-")
        own.mkdir(parents=True)
        return self.make(own, dim)


FAISS = Engine("FAISS flat", ("faiss",), FaissFlat, durable=False)
PGVECTOR = Engine("pgvector", ("pgserver", "psycopg", "pgvector"), PgVector, durable=True)
RAW_LANCEDB = Engine("raw LanceDB", (), RawLanceDb, durable=False)
SQLITE_NUMPY = Engine("SQLite and NumPy", (), SqliteNumpy, durable=True)
CHROMA = Engine("Chroma", ("chromadb",), Chroma, durable=False)
MEM0 = Engine("mem0", ("mem0", "chromadb"), Mem0, durable=False, share=0.1)

ENGINES = (FAISS, PGVECTOR, SQLITE_NUMPY, RAW_LANCEDB, CHROMA, MEM0)
