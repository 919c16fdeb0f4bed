"""Multiple choice: which option do the memories speak for?"""

from __future__ import annotations

from collections.abc import Sequence

from personavlm.platform.engines.rules.question import Question, unknown_option
from personavlm.platform.engines.rules.relevance import Match, coverage
from personavlm.platform.engines.rules.statements import read_statements
from personavlm.platform.engines.rules.words import stems

_LOOKED_AT = 12  # best matches that have a say
_NEWEST = 0.15  # what the newest match gains over the oldest, since things change
_SUPPORT = 0.05  # below this the memories speak for no option


def choose(question: Question, ranked: Sequence[Match]) -> tuple[str, str, Match | None]:
    """Letter and text of the option, and the match that speaks for it most."""
    votes = [(match, _weight(question, match, ranked)) for match in ranked[:_LOOKED_AT]]
    scored = []
    for letter, option in question.options:
        wanted = dict.fromkeys(stems(option) - question.focus, 1.0)
        support = [weight * _speaks_for(wanted, match, question) for match, weight in votes]
        most = max(support, default=0.0)
        scored.append((most, letter, option, votes[support.index(most)][0] if most else None))
    winner = max(scored, key=lambda entry: entry[0])
    if winner[0] < _SUPPORT:
        winner = next((entry for entry in scored if unknown_option(entry[2])), winner)
    return winner[1], winner[2], winner[3]


def _speaks_for(wanted: dict[str, float], match: Match, question: Question) -> float:
    """How much of the option a match holds; nothing where it says that just this is over."""
    if "past" not in question.cues:
        over = frozenset().union(*(stems(one.given_up) for one in read_statements(match.sentence)))
        if over and wanted.keys() <= over:
            return 0.0
    return coverage(wanted, f"{match.evidence.text} {match.evidence.context}")


def _weight(question: Question, match: Match, ranked: Sequence[Match]) -> float:
    times = sorted({one.evidence.time for one in ranked if one.evidence.time})
    if "past" in question.cues or "first" in question.cues or len(times) < 2 or not match.evidence.time:
        return match.score
    return match.score * (1 + _NEWEST * times.index(match.evidence.time) / (len(times) - 1))
