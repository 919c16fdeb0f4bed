"""Finding evidence in LoCoMo without a language model. `python -m tests.benchmarks.locomo --data FILE`

Each message is a text; a question's evidence is looked for among all messages of its conversation, through
the store and its shipped ranking. The rows to compare with are computed in the same run; intervals are 95 %
bootstrap intervals, paired by question. `--ablate` switches each signal, each group and each part of the
diversity off, the other weights staying as they are. Nothing is learned from the file. Encodings are kept in
the user's cache.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from personavlm.memory_store import Add, MemoryKind, MemoryStore, SearchRequest, UserKey
from personavlm.memory_store.retrieval.diversity import CANDIDATES, DIVERSITY, Diversity
from personavlm.memory_store.retrieval.ranking import WEIGHTS, apply_weights
from personavlm.memory_store.retrieval.signals import SIGNALS
from personavlm.platform.encoders.minilm import MiniLmEncoder
from personavlm.platform.histories.locomo import CATEGORIES
from tests.benchmarks.locomo_parts.conversations import (
    Asked,
    Conversation,
    ask,
    fill,
    index_of,
    load,
    open_store,
)
from tests.benchmarks.locomo_parts.metrics import (
    COLUMNS,
    DEPTHS,
    MRR,
    R10,
    Floats,
    interval,
    measures,
    reciprocal_rank_fusion,
)
from tests.benchmarks.planted.encodings import RememberingEncoder
from tests.benchmarks.report import Report, arguments

NAMES = [signal.name for signal in SIGNALS]
BM25, DENSE = NAMES.index("bm25"), NAMES.index("dense")
SHIPPED = "shipped"
GENERIC = "speaker, neighbours, session off"
AIMS = {"all": 0.875, "multi-hop": 0.58, "temporal": 0.90, "single-hop": 0.95}
FLOORS = {"all": 0.83, "multi-hop": 0.49, "temporal": 0.84, "single-hop": 0.90}
AIM_MRR, FLOOR_MRR, FLOOR_GENERIC, MOST_MS = 0.73, 0.59, 0.78, 25.0
MEMORIES = 1_000
TIMED = 200

Ranking = Callable[[Asked], NDArray[np.float32]]
Rows = dict[str, Floats]


def rankings() -> dict[str, Ranking]:
    """What is compared, by name. Texts without speaker, neighbours and session are ranked as memories are."""
    return {
        SHIPPED: by(WEIGHTS.vector("turns")),
        GENERIC: by(WEIGHTS.vector("memories")),
        "BM25, question as it is": lambda asked: asked.nameless[BM25],
        "BM25, names removed": lambda asked: asked.known[BM25],
        "dense, question as it is": lambda asked: asked.nameless[DENSE],
        "dense, names removed": lambda asked: asked.known[DENSE],
        "RRF of both, as it is": lambda asked: reciprocal_rank_fusion(asked.nameless[[BM25, DENSE]]),
        "RRF of both, names removed": lambda asked: reciprocal_rank_fusion(asked.known[[BM25, DENSE]]),
    }


def by(weights: NDArray[np.float32], diversity: Diversity = DIVERSITY) -> Ranking:
    """The ranking by these weights, the best texts in the order in which a search takes them."""

    def ranking(asked: Asked) -> NDArray[np.float32]:
        scores = apply_weights(asked.known, weights)
        best = np.argsort(-scores, kind="stable")[:CANDIDATES]
        taken = best[diversity.order(scores[best], asked.content.of(best), DEPTHS[-1])]
        scores[taken] = scores.max() + np.arange(len(taken), 0, -1)
        return scores

    return ranking


def table_of(questions: Sequence[Asked], ranking: Ranking) -> Floats:
    """``(questions, len(COLUMNS))``."""
    return np.array([measures(ranking(asked), asked.evidence) for asked in questions])


def categories(questions: Sequence[Asked]) -> dict[str, NDArray[np.bool_]]:
    """Which questions are of each category, and all."""
    of = np.array([asked.category for asked in questions])
    return {"all": np.ones(len(of), np.bool_), **{name: of == name for name in CATEGORIES.values()}}


def show_quality(report: Report, questions: Sequence[Asked], rows: Rows) -> None:
    """A table for all questions and one for each category."""
    for category, chosen in categories(questions).items():
        if chosen.any():
            means = {name: values[chosen].mean(axis=0) for name, values in rows.items()}
            title = f"{category}, {np.count_nonzero(chosen)} questions"
            shown = [[name, *(f"{value:.3f}" for value in mean)] for name, mean in means.items()]
            report.table(title, ("", *COLUMNS), shown)
            figures = {name: dict(zip(COLUMNS, mean.tolist(), strict=True)) for name, mean in means.items()}
            report.figure(category, figures)


def show_intervals(report: Report, rows: Rows) -> None:
    """By how much the shipped ranking is ahead of each other row."""
    shown = []
    for name in list(rows)[1:]:
        cells = []
        for column in (R10, MRR):
            mean, low, high = interval(rows[SHIPPED][:, column], rows[name][:, column])
            cells.append(f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]")
            report.figure(f"ahead of {name}, {COLUMNS[column]}", {"mean": mean, "low": low, "high": high})
        shown.append([name, *cells])
    report.table("Shipped ranking ahead by", ("of", "R@10", "MRR"), shown)


def show_ablation(report: Report, questions: Sequence[Asked], shipped: Floats) -> None:
    """Recall at 10 with each group, each signal and each part of the diversity switched off."""
    chosen = categories(questions)
    rows = [["nothing off", *_recalls(shipped, chosen)]]
    for label, ranking in switched_off():
        rows.append([label, *_recalls(table_of(questions, ranking), chosen)])
        report.figure(f"without {label}", dict(zip((*chosen, "MRR"), map(float, rows[-1][1:]), strict=True)))
    report.table("Switched off: R@10", ("", *chosen, "MRR"), rows)


def switched_off() -> Iterator[tuple[str, Ranking]]:
    """The shipped ranking without one thing, by its name."""
    groups = dict.fromkeys(signal.group for signal in SIGNALS)
    for off in (*groups, *NAMES):
        label = f"group {off}" if off in groups and off not in NAMES else off
        yield label, by(WEIGHTS.without(off).vector("turns"))
    for part in fields(Diversity):
        yield part.name, by(WEIGHTS.vector("turns"), replace(DIVERSITY, **{part.name: 0.0}))


def _recalls(values: Floats, chosen: dict[str, NDArray[np.bool_]]) -> list[str]:
    recalls = [f"{values[each, R10].mean():.3f}" for each in chosen.values()]
    return [*recalls, f"{values[:, MRR].mean():.3f}"]


def measure_cost(report: Report, store: MemoryStore, conversations: Sequence[Conversation]) -> float:
    """Milliseconds of a whole search and of its encoding, and what memory holds; the median search."""
    longest = max(conversations, key=lambda one: len(one.history.turns))
    index = index_of(store, longest.user)
    searches, encodings, processor = [], [], []
    encoder = MiniLmEncoder()
    for question, _, _ in islice(longest.questions, TIMED):
        began = time.process_time()
        searches.append(_timed(partial(store.search, longest.user, SearchRequest(question))))
        processor.append((time.process_time() - began) * 1e3)
        encodings.append(_timed(partial(encoder.encode_tokens, [question])))
    median, slow = statistics.median(searches), float(np.percentile(searches, 95))
    report.samples(f"search among {len(index.turns)} messages, encoding included", "ms", searches)
    report.samples("the same in processor time, all threads", "ms", processor)
    report.samples("of it, encoding the question", "ms", encodings)
    user = UserKey("locomo", "memories")
    texts = [turn.user_text for one in conversations for turn in one.history.turns if turn.user_text]
    begin = longest.history.turns[0].event_time
    store.apply(user, MemoryKind.SEMANTIC, "file", [Add(text, begin, ()) for text in texts[:MEMORIES]])
    store.index(user)
    memories = index_of(store, user)
    figures = {
        "95th percentile, ms": slow,
        "bytes in memory for each message": index.nbytes / len(index.turns),
        f"MB in memory for {MEMORIES} memories": memories.nbytes / 2**20,
    }
    report.table("Cost", ("", ""), [[name, f"{value:,.1f}"] for name, value in figures.items()])
    report.figure("cost", figures)
    return median


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1e3


def demand(report: Report, questions: Sequence[Asked], rows: Rows, milliseconds: float) -> None:
    """Floors and aims."""
    chosen = categories(questions)
    for kind, bounds, mrr in (("floor", FLOORS, FLOOR_MRR), ("aim", AIMS, AIM_MRR)):
        for category, bound in bounds.items():
            value = rows[SHIPPED][chosen[category], R10].mean()
            report.demand(f"{kind}, R@10 {category}", float(value), ">=", bound)
        report.demand(f"{kind}, MRR", float(rows[SHIPPED][:, MRR].mean()), ">=", mrr)
    report.demand(f"R@10 with {GENERIC}", float(rows[GENERIC][:, R10].mean()), ">=", FLOOR_GENERIC)
    report.demand("median search", milliseconds, "<=", MOST_MS, "ms")


def main() -> None:
    parser = arguments("Measure what is found in LoCoMo without a language model.")
    parser.add_argument("--data", type=Path, required=True, metavar="FILE", help="LoCoMo's file")
    parser.add_argument("--ablate", action="store_true", help="switch off each signal and each group")
    options = parser.parse_args()
    conversations = load(options.data)
    report = Report("LoCoMo: evidence found without a language model")
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(Path(folder), RememberingEncoder())
        for conversation in conversations:
            fill(store, conversation)
        store.close()
        store = open_store(Path(folder), MiniLmEncoder())  # of the same vectors; what it takes is timed
        questions = [asked for conversation in conversations for asked in ask(store, conversation)]
        rows = {name: table_of(questions, ranking) for name, ranking in rankings().items()}
        show_quality(report, questions, rows)
        show_intervals(report, rows)
        if options.ablate:
            show_ablation(report, questions, rows[SHIPPED])
        milliseconds = measure_cost(report, store, conversations)
        store.close()
    demand(report, questions, rows, milliseconds)
    report.finish(options.json)


if __name__ == "__main__":
    main()
