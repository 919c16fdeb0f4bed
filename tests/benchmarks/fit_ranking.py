"""Fit the weights of the ranking on planted conversations. `python -m tests.benchmarks.fit_ranking --write`

Conversations are split into those fitted on and those held out; weights are pulled towards hand-set ones.
Two sets are fitted: for turns, and for texts that stand alone, as memories do. `--ablate` fits again
without each signal; `--data FILE` measures the weights on LoCoMo's file, from which nothing is learned;
`--compare FILE` shows each signal alone on planted conversations and on that file.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from personavlm.memory_store.encoder import TextEncoder
from personavlm.memory_store.retrieval.ranking import WEIGHTS_FILE, Kind
from personavlm.memory_store.retrieval.ranking import Weights as ShippedWeights
from personavlm.memory_store.retrieval.signals import SIGNALS
from tests.benchmarks.planted.chats import chats
from tests.benchmarks.planted.chinese import chinese
from tests.benchmarks.planted.encodings import RememberingEncoder
from tests.benchmarks.planted.friends import friends
from tests.benchmarks.planted.listwise import Batch, Weights, fit
from tests.benchmarks.planted.measured import Measured, measure, recall, reciprocal_rank, single_signals
from tests.benchmarks.planted.records import CATEGORIES, Conversation
from tests.benchmarks.planted.sources import demo, locomo
from tests.benchmarks.report import Report, arguments

NAMES = [signal.name for signal in SIGNALS]
GROUPS = {group: [s.name for s in SIGNALS if s.group == group] for group in {s.group: 0 for s in SIGNALS}}
OF_CONVERSATION = [name for group in ("neighbours", "speaker", "session") for name in GROUPS[group]]
"""What only a text within a conversation has."""

CANDIDATES = 200
"""Texts that each question is fitted on."""

L2 = 0.2
HELD_OUT = 0.2
FREE = ("asks",)
"""What may count against a text. That it matches the query never does."""

LEAST = {"bm25": 0.03, "coverage": 0.03, "tokens": 0.03}
"""Where nothing else speaks for a text, its own words do: it has no neighbours, or is not encoded yet."""

SHARES = {"friends": 1.0, "chats": 1.0, "Chinese": 0.3}
"""How much each kind of conversation counts. The few templates in Chinese teach no more than that words must
do where the encoder is blind."""

HAND_SET = {
    "bm25": 0.15,
    "coverage": 0.25,
    "characters": 0.15,
    "dense": 0.15,
    "sentence": 0.2,
    "tokens": 0.5,
    "window bm25": 0.5,
    "window tokens": 0.5,
    "answers question": 0.15,
    "question": 0.25,
    "speaker": 0.25,
    "date": 0.3,
    "named date": 0.2,
    "weekday": 0.1,
    "when": 0.1,
    "how many": 0.05,
    "who": 0.05,
    "asks": -0.1,
    "session tokens": 0.05,
}
"""Weights by judgement, before any fit: what the fit has little to say of stays near them."""

Sets = dict[str, list[Measured]]


@dataclass(frozen=True, slots=True)
class Planted:
    """Questions to fit on and questions held out, by the kind of conversation."""

    fitted: Sets
    held_out: Sets


def plant(count: int, encoder: TextEncoder) -> Planted:
    """``count`` conversations of each kind."""
    kinds: dict[str, Callable[[int], Conversation]] = {
        "friends": friends,
        "chats": chats,
        "Chinese": chinese,
    }
    held_out = max(1, round(HELD_OUT * count))
    fitted: Sets = {}
    rest: Sets = {}
    for name, make in kinds.items():
        measured = [measure(make(seed), encoder) for seed in range(count)]
        rest[name] = [one for each in measured[:held_out] for one in each]
        fitted[name] = [one for each in measured[held_out:] for one in each]
    return Planted(fitted, rest)


def fitted_weights(sets: Sets, off: Sequence[str] = ()) -> Weights:
    """The weights that a fit on all questions finds, each kind with its share, some signals switched off."""
    without = [place for place, name in enumerate(NAMES) if name in off]
    queries = [
        one.query(without, CANDIDATES, SHARES[name] / len(each))
        for name, each in sets.items()
        for one in each
    ]
    towards = np.array([0.0 if name in off else HAND_SET.get(name, 0.0) for name in NAMES])
    least = np.array([-np.inf if name in FREE else LEAST.get(name, 0.0) for name in NAMES])
    return fit(Batch.of(queries), towards, L2, least, without)


def write(turns: Weights, alone: Weights, questions: int, conversations: int) -> None:
    """Put the weights into the shipped file, with where they come from."""
    sets: dict[Kind, dict[str, float]] = {
        "turns": dict(zip(NAMES, turns.tolist(), strict=True)),
        "memories": dict(zip(NAMES, alone.tolist(), strict=True)),
    }
    replace(ShippedWeights.load(), weights=sets).save()
    provenance = {
        "by": "python -m tests.benchmarks.fit_ranking --write",
        "seeds": f"0-{conversations - 1}",
        "questions": questions,
        "l2": L2,
        "date": datetime.now(UTC).date().isoformat(),
    }
    lines = WEIGHTS_FILE.read_text(encoding="utf-8").splitlines()
    lines.insert(1, f'  "fitted": {json.dumps(provenance)},')
    WEIGHTS_FILE.write_text("\n".join(lines) + "\n", encoding="utf-8")


def show_recall(report: Report, title: str, sets: Sets, weights: Weights) -> None:
    """A table of recall at 10 by category, and of the mean reciprocal rank."""
    rows = []
    for name, measured in sets.items():
        by_category = [[one for one in measured if one.question.category == each] for each in CATEGORIES]
        values = [recall(each, weights) for each in (measured, *by_category)]
        values.append(reciprocal_rank(measured, weights))
        rows.append(
            [name, str(len(measured)), *("" if np.isnan(value) else f"{value:.3f}" for value in values)]
        )
        report.figure(f"{title}: {name}", {"recall@10": values[0], "mrr": values[-1]})
    report.table(title, ("", "questions", "all", *CATEGORIES, "MRR"), rows)


def show_weights(report: Report, turns: Weights, alone: Weights, fitted: Sets) -> None:
    """Each weight, and what it is fitted on one kind of conversation alone."""
    columns = (turns, alone, *(fitted_weights({name: each}) for name, each in fitted.items()))
    rows = [[name, *(f"{each[place]:.2f}" for each in columns)] for place, name in enumerate(NAMES)]
    report.table("Weights", ("signal", "turns", "standing alone", *(f"{name} only" for name in fitted)), rows)


def show_ablation(report: Report, fitted: Sets, sets: Sets, weights: Weights) -> None:
    """Recall at 10 without each signal and without each group, the others fitted again."""
    rows = [["nothing left out", *_recalls(sets, weights)]]
    for name, off in [*GROUPS.items(), *((name, [name]) for name in NAMES)]:
        rows.append([f"without {name}", *_recalls(sets, fitted_weights(fitted, off))])
    report.table("Ablation, recall@10", ("", *sets), rows)


def show_comparison(report: Report, sets: Sets) -> None:
    """Each signal alone: where two sets are alike, so are these rows."""
    rows = [[name, *_recalls(sets, alone)] for name, alone in single_signals()]
    report.table("Each signal alone, recall@10", ("signal", *sets), rows)


def _recalls(sets: Sets, weights: Weights) -> list[str]:
    return [f"{recall(each, weights):.3f}" for each in sets.values()]


def main() -> None:
    parser = arguments("Fit the ranking's weights on planted conversations.")
    parser.add_argument("--conversations", type=int, default=12, help="how many of each kind")
    parser.add_argument("--write", action="store_true", help="put the weights into the shipped file")
    parser.add_argument("--ablate", action="store_true", help="fit again without each signal")
    parser.add_argument("--data", type=Path, metavar="FILE", help="LoCoMo's file, to measure on")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="LoCoMo's file, to compare with")
    options = parser.parse_args()
    encoder = RememberingEncoder()
    planted = plant(options.conversations, encoder)
    turns, alone = fitted_weights(planted.fitted), fitted_weights(planted.fitted, OF_CONVERSATION)
    measured = {**planted.held_out, "demo": measure(demo(), encoder)}
    for file in {options.data, options.compare} - {None}:
        measured["LoCoMo"] = [one for each in locomo(file) for one in measure(each, encoder)]
    report = Report("Weights of the ranking, fitted on planted conversations")
    show_weights(report, turns, alone, planted.fitted)
    show_recall(report, "Hand-set", measured, np.array([HAND_SET.get(name, 0.0) for name in NAMES]))
    show_recall(report, "Fitted", measured, turns)
    show_recall(report, "Fitted, without neighbours, speaker and session", measured, alone)
    if options.ablate:
        show_ablation(report, planted.fitted, measured, turns)
    if options.compare:
        show_comparison(report, measured)
    if options.write:
        write(turns, alone, sum(map(len, planted.fitted.values())), options.conversations)
    report.finish(options.json)


if __name__ == "__main__":
    main()
