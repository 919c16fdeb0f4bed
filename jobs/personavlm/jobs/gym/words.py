"""All words of the gym's world. A tokenizer of whole words knows these and no others."""

from __future__ import annotations

from collections.abc import Mapping

Words = tuple[str, ...]


def _words(text: str) -> Words:
    return tuple(text.split())


MONTHS = _words("january february march april may june")
"""Of the year in which everything happens; a number of a month counts from 0 here."""
YEAR = 2026
LAST_DAYS = (31, 28, 31, 30, 31, 30)

SLOTS: Mapping[str, Words] = {
    "drink": _words("tea cola milk juice water coffee cocoa soda lemonade cider mate chai"),
    "food": _words("pizza sushi pasta soup curry salad tacos ramen bread rice stew pie"),
    "music": _words("jazz rock opera folk blues disco punk techno reggae swing metal soul"),
    "sport": _words("tennis golf rugby judo polo hockey soccer boxing chess archery fencing skating"),
    "city": _words("paris rome oslo lima cairo tokyo delhi berlin madrid quito dublin prague"),
    "hobby": _words(
        "knitting painting gardening baking hiking fishing reading sailing dancing pottery origami astronomy"
    ),
    "book": _words("novel poem comic atlas diary essay fable manual epic saga memoir thriller"),
    "pet": _words("cat dog parrot hamster rabbit turtle gecko ferret goldfish pony duck mouse"),
}
"""What a user may prefer one of."""
CUES: Mapping[str, Words] = {
    "drink": _words("thirsty parched"),
    "food": _words("hungry starving"),
    "music": _words("quiet headphones"),
    "sport": _words("sneakers stadium"),
    "city": _words("suitcase flight"),
    "hobby": _words("weekend idle"),
    "book": _words("library bedtime"),
    "pet": _words("paws leash"),
}
"""What hints at a slot without naming it."""
NAMES = _words(
    "ann bob cid dot eve fay gus hal ivy jon kim leo mia ned oli pam quin ray sue tom uma vic wes zoe"
)
RELATIONS = _words("sister brother boss friend neighbour teacher")
TONES = _words("close distant")
WEEKDAYS = _words("mon tue wed thu fri sat sun")
ACTIVITIES = _words("swim run yoga cook clean shop nap study sing draw cycle climb")
GOALS = _words("marathon degree garden savings house album visa guitar diet startup boat license")
OBJECTS = _words("mug bag hat car kite lamp bike boot cup ring vase toy")
COLOURS = _words("red green blue yellow purple cyan white orange")
FORMS = _words("circle square triangle cross")
MOODS = _words("stressed sad bored tired happy angry")
STYLES: Mapping[str, tuple[str, str]] = {
    "openness": ("novelty", "routine"),
    "conscientiousness": ("detail", "gist"),
    "extraversion": ("loud", "calm"),
    "agreeableness": ("warm", "blunt"),
    "neuroticism": ("gentle", "bold"),
}
"""How replies should be for somebody high and for somebody low in a trait."""
LEVELS: Mapping[str, str] = {"expert": "formula", "novice": "story"}
"""How somebody of a level wants things explained."""
LETTERS = _words("a b c d")

GRAMMAR = (
    *("<think>", "</think>", "<answer>", "</answer>", "<retrieve>", "</retrieve>"),
    *('{"keywords":"', '","start_time":"', '","end_time":"', '"}'),
)
_TALK = _words(
    """system user assistant me my i is was what who how do does on in now today like favourite tell of the
    options this colour form feel should want am are and with goal habit tone visual look answer need
    reply explain style level high low name gift for pick which context said about it up memories none
    other first remaining widened think search remembers : ; . ?"""
)


def window_of(month: int) -> tuple[str, str]:
    """First and last day of a month as retrievals write them."""
    return f"{YEAR}-{month + 1:02d}-01", f"{YEAR}-{month + 1:02d}-{LAST_DAYS[month]:02d}"


def vocabulary() -> Words:
    """Every word once, in a fixed order."""
    dates = [f"{YEAR}-{month + 1:02d}" for month in range(len(MONTHS))]
    days = [day for month in range(len(MONTHS)) for day in window_of(month)]
    groups = (
        *(GRAMMAR, _TALK, LETTERS, MONTHS, dates, days, SLOTS, *SLOTS.values(), *CUES.values(), NAMES),
        *(RELATIONS, TONES, WEEKDAYS, ACTIVITIES, GOALS, OBJECTS, COLOURS, FORMS, MOODS),
        *(STYLES, *STYLES.values(), LEVELS, LEVELS.values()),
    )
    return tuple(dict.fromkeys(word for group in groups for word in group))
