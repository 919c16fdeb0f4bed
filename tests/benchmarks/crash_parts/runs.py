"""One run: load, a kill, a fault, and the look at what is left. The kinds of runs that there are."""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from personavlm.memory_store import MemoryStore
from personavlm.memory_store.storage.settings import StorageSettings
from tests.benchmarks.crash_parts.disk import Disk
from tests.benchmarks.crash_parts.faults import TEARS, leave_half_an_image, tear_log, tear_table
from tests.benchmarks.crash_parts.ledger import Findings, Ledger
from tests.benchmarks.crash_parts.victim import Victim
from tests.unit.memory_store.encoders import ByteEncoder, WordEncoder
from tests.unit.memory_store.places import place, stored

LIVES = 8  # runs on one store, before the next run of its kind begins with an empty one
DISK_MB = 128
MOST_EVENTS = 150  # heard before a kill
NAMES_OF_A_FULL_DISK = ("full", "space", "os error 28", "errno 28")
BEHIND_AN_ERASURE = "being erased"  # that the full disk holds up, and that said so itself


@dataclass(slots=True)
class Outcome:
    """Of one run. ``spoilt`` is False where there was nothing that the fault could spoil."""

    acknowledged: int = 0
    findings: Findings = field(default_factory=Findings)
    opened: bool = False
    spoilt: bool = True
    reopen_s: float = 0.0


@dataclass(slots=True)
class Life:
    """A store over several runs, and everything that it acknowledged."""

    place: Path
    disk: Disk | None = None
    ledger: Ledger = field(default_factory=Ledger)
    runs: int = 0

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """Of the store; its disk is mounted meanwhile."""
        with ExitStack() as stack:
            root = stack.enter_context(self.disk.mounted()) if self.disk else self.place
            yield root / "store"


@dataclass(frozen=True, slots=True)
class Kind:
    """``share`` says how many of a hundred runs are of this kind."""

    name: str
    share: int
    work: Callable[[Life, random.Random], Outcome]
    on_a_disk: bool = False

    def run(self, life: Life, chance: random.Random) -> Outcome:
        """One more run on a store. What a store raises that does not open."""
        life.runs += 1
        return self.work(life, chance)


def open_again(folder: Path, durability: str) -> MemoryStore:
    """As the next process would."""
    settings = StorageSettings(durability)  # type: ignore[arg-type]  # one of its two literals
    return MemoryStore.open(
        place(folder),
        text_encoder=WordEncoder(),
        image_encoder=ByteEncoder(),
        storage=stored(settings),
    )


def look(life: Life, folder: Path, durability: str, outcome: Outcome) -> None:
    """Open the store and hold it against the ledger: as it opened, and from the tables alone."""
    started = time.perf_counter()
    with open_again(folder, durability) as store:
        outcome.reopen_s, outcome.opened = time.perf_counter() - started, True
        life.ledger.settle(store)
        outcome.findings.add(life.ledger.check(store, folder))
        store.flush()
        store.evict()
        outcome.findings.add(life.ledger.check(store, folder))
    if any((folder / ".objects" / "unfinished").glob("*")):
        outcome.findings.wrong.append("an unfinished file was left")


def kill_under_load(life: Life, folder: Path, chance: random.Random, durability: str) -> int:
    """Kill the clients once so much was heard, at a random moment; how much was acknowledged."""
    victim = Victim.start(folder, life.ledger.first(), chance.getrandbits(32), durability)
    enough = chance.randrange(MOST_EVENTS)
    victim.wait_for(lambda: victim.ready and len(victim.events) > enough)
    time.sleep(chance.uniform(0, 0.1))  # waits for nothing: it picks the point of the kill
    return acknowledged(life, victim)


def kill_while_opening(life: Life, folder: Path, chance: random.Random) -> int:
    """Kill soon after the start: most often before the store is open."""
    victim = Victim.start(folder, life.ledger.first(), chance.getrandbits(32))
    time.sleep(chance.uniform(0.5, 3))
    return acknowledged(life, victim)


def acknowledged(life: Life, victim: Victim) -> int:
    """Kill, and enter in the ledger what was heard."""
    events = victim.kill()
    life.ledger.take_in(events)
    return len(events)


Fault = Callable[[Path, Ledger, random.Random], bool]


def plain(
    life: Life, chance: random.Random, durability: str = "journal", fault: Fault | None = None
) -> Outcome:
    """Load, kill, fault, look."""
    outcome = Outcome()
    with life.folder() as folder:
        outcome.acknowledged = kill_under_load(life, folder, chance, durability)
        if fault:
            outcome.spoilt = fault(folder, life.ledger, chance)
        look(life, folder, durability, outcome)
    return outcome


def opening(life: Life, chance: random.Random) -> Outcome:
    """A kill while the store opens, after one that left it work to do."""
    outcome = Outcome()
    with life.folder() as folder:
        outcome.acknowledged = kill_under_load(life, folder, chance, "journal")
        outcome.acknowledged += kill_while_opening(life, folder, chance)
        look(life, folder, "journal", outcome)
    return outcome


def power(life: Life, chance: random.Random, durability: str) -> Outcome:
    """A disk that keeps nothing but what was flushed."""
    assert life.disk
    outcome = Outcome()
    with life.folder() as folder:
        outcome.acknowledged = kill_under_load(life, folder, chance, durability)
        life.disk = life.disk.cut_off(life.place.with_name(f"{life.place.name} {life.runs}.img"))
    with life.folder() as folder:
        look(life, folder, durability, outcome)
    return outcome


def full(life: Life, chance: random.Random, durability: str) -> Outcome:
    """A disk that fills up under load, is freed, and later cut off by a kill."""
    assert life.disk
    outcome = Outcome()
    with life.folder() as folder:
        victim = Victim.start(folder, life.ledger.first(), chance.getrandbits(32), durability)
        victim.wait_for(lambda: len(victim.events) > 20)
        life.disk.fill()
        refused = len(victim.refusals)
        victim.wait_for(lambda: len(victim.refusals) > refused + 5)
        if chance.random() < 0.5:
            life.disk.free()
            before = len(victim.events)
            victim.wait_for(lambda: len(victim.events) > before + 20)
            outcome.acknowledged = acknowledged(life, victim)
        else:
            outcome.acknowledged = acknowledged(life, victim)
            life.disk.free()
        outcome.findings.wrong += unnamed(victim.refusals)
        look(life, folder, durability, outcome)
    return outcome


def unnamed(refusals: list[str]) -> list[str]:
    """Refusals that say neither that the disk is full nor what waits for it."""
    return [
        f"a refusal that names nothing: {text}"
        for text in refusals
        if not any(name in text.lower() for name in (*NAMES_OF_A_FULL_DISK, BEHIND_AN_ERASURE))
    ]


def torn_table(folder: Path, ledger: Ledger, chance: random.Random, part: str) -> bool:
    """A file of the newest version of a table, in one of the ways in which files tear."""
    return tear_table(folder, part, chance.choice(list(TEARS.values())))


def half_an_image(folder: Path, ledger: Ledger, chance: random.Random) -> bool:
    """What the write of an image left that was cut short."""
    return leave_half_an_image(folder, chance)


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("kill", 26, plain),
        Kind("kill, durability commit", 12, partial(plain, durability="commit")),
        Kind("kill while opening", 8, opening),
        Kind("torn journal", 14, partial(plain, fault=tear_log)),
        Kind("torn manifest", 8, partial(plain, fault=partial(torn_table, part="manifest"))),
        Kind("torn data file", 8, partial(plain, fault=partial(torn_table, part="data"))),
        Kind("half an image", 4, partial(plain, fault=half_an_image)),
        Kind("loss of power", 8, partial(power, durability="journal"), on_a_disk=True),
        Kind("loss of power, commit", 4, partial(power, durability="commit"), on_a_disk=True),
        Kind("full disk", 5, partial(full, durability="journal"), on_a_disk=True),
        Kind("full disk, commit", 3, partial(full, durability="commit"), on_a_disk=True),
    )
}
