"""Replies without a language model: decide, look up, quote.

Statements are acknowledged, questions looked up by their content words and the time they speak of, and
answered with the remembered sentence that shares most with them. It writes the same grammar as a model.
"""

from __future__ import annotations

import json
import re
from datetime import datetime

from personavlm.memory_store.queries import Window
from personavlm.platform.agent.grammar import Retrieve
from personavlm.platform.engines.base import Conversation
from personavlm.platform.engines.rules.choices import choose
from personavlm.platform.engines.rules.question import (
    MY_NAME,
    TODAY,
    Question,
    generic_stems,
    kin,
    names_in,
    read_question,
)
from personavlm.platform.engines.rules.relevance import Match, best, matches
from personavlm.platform.engines.rules.situation import Situation, read_situation
from personavlm.platform.engines.rules.wording import (
    acknowledgement,
    day,
    passage,
    phrases,
    pick,
    quoted,
    recollection,
    small_talk,
    toned,
)
from personavlm.platform.engines.rules.words import content_words, is_cjk, stem

_TAG = re.compile(r"<(?=/?(?:think|answer|retrieve)\b)", re.IGNORECASE)
_MOST_QUOTED = 3
_SURE = 0.45  # score below which a second lookup may bring something better
_MOST_LOOKUPS = 2  # a third in other words has not been seen to help


def respond(conversation: Conversation) -> str:
    """The next step of a reply, in the grammar of the agent."""
    situation = read_situation(conversation)
    question = read_question(situation.text, situation.now, situation.previous)
    if not situation.tried and not situation.must_answer:
        return _first_step(situation, question)
    ranked = matches(question, (*situation.found, *situation.known))
    if situation.must_answer or _settled(question, ranked, situation):
        return _answer_from(situation, question, ranked)
    if again := _next_lookup(question, situation):
        return _retrieve("That did not bring what I need; I look again in another way.", again)
    return _answer_from(situation, question, ranked)


def _first_step(situation: Situation, question: Question) -> str:
    if TODAY.search(situation.text):
        return _answer("The message itself carries the time.", _today(situation.now))
    if not question.options and (reply := small_talk(situation)):
        return _answer("This is small talk and needs no memory.", reply)
    if MY_NAME.search(situation.text) and "name" in situation.core:
        name = str(phrases()["your_name"]).format(quote=situation.core["name"].rstrip("."))
        return _answer("I always know the name.", name)
    if question.asks and not (question.says_what or situation.images):
        return _answer("It is not clear what is asked.", pick(phrases()["unclear"], situation.text))
    if not question.asks and not situation.images:
        return _answer("The user tells me something; the memory will keep it.", acknowledgement(situation))
    ranked = matches(question, situation.known)
    if question.asks and not question.options and not situation.images and ranked and ranked[0].score > 0.9:
        return _answer_from(situation, question, ranked)
    return _retrieve(_reason(situation, question), _lookup(question, situation))


def _reason(situation: Situation, question: Question) -> str:
    if situation.images and not question.asks:
        return "There is an image; I look whether I have seen what it shows."
    when = " in the time they mean" if _has_bounds(question.window) else ""
    return f"The user asks about something I may have been told{when}; I look it up."


def _lookup(question: Question, situation: Situation) -> Retrieve:
    words = question.keywords or content_words(" ".join((situation.text, *situation.captions)))
    keywords = question.text if any(is_cjk(word) for word in words) else ", ".join(words)
    return Retrieve(keywords or situation.text.strip() or "image", question.window)


def _next_lookup(question: Question, situation: Situation) -> Retrieve | None:
    """Once more, differently: without the window, with options or related words, with names that came up."""
    if len(situation.tried) == _MOST_LOOKUPS:
        return None
    first = _lookup(question, situation)
    related = sorted({word for key in question.focus for word in kin().get(key, ())} - question.focus)
    options = content_words(" ".join(option for _, option in question.options))
    found = matches(question, situation.last_found)
    names = names_in(" ".join(match.sentence for match in found if match.score > 0))
    wider = [
        ", ".join((*question.keywords, *extra[:8])) for extra in (options, tuple(related), names) if extra
    ]
    candidates = [Retrieve(first.keywords), *(Retrieve(keywords) for keywords in wider)]
    tried = {(lookup.keywords, _has_bounds(lookup.window)) for lookup in situation.tried}
    return next((one for one in candidates if (one.keywords, False) not in tried), None)


def _settled(question: Question, ranked: tuple[Match, ...], situation: Situation) -> bool:
    """Whether what was found answers the question, so that no other lookup is needed."""
    if not question.asks or "about_me" in question.cues:
        return True
    if question.options:
        return choose(question, ranked)[2] is not None
    if len(situation.tried) == 1 and ("several" in question.cues or (ranked and ranked[0].score < _SURE)):
        return bool(_told_then(question, situation))
    return best(question, ranked) is not None or bool(_told_then(question, situation))


def _answer_from(situation: Situation, question: Question, ranked: tuple[Match, ...]) -> str:
    if question.options:
        return _answer_choice(situation, question, ranked)
    if situation.images and (seen := [match for match in ranked if match.evidence.source == "visual"]):
        return _answer("I have seen this before.", _recognised(situation, seen[0], ranked))
    if not question.asks:
        return _answer("The user tells me something; the memory will keep it.", acknowledgement(situation))
    if "about_me" in question.cues:
        return _answer_about(situation, ranked)
    found = best(question, ranked)
    told = [found] if found else _told_then(question, situation)
    if not told:
        return _answer("Nothing that I found fits.", _not_found(situation, question))
    story = _story(told, question, situation.now, ranked)
    if "wish" in question.cues:
        story = str(phrases()["wish"]).format(story=story)
    return _answer("This answers it.", toned(story, "found", situation))


def _answer_choice(situation: Situation, question: Question, ranked: tuple[Match, ...]) -> str:
    letter, option, match = choose(question, ranked)
    why = f" {recollection(match, situation.now)}" if match else ""
    option = option if option.endswith((".", "!", "?")) else f"{option}."
    thought = "The memories speak for this option most." if match else "No memory decides; this fits best."
    return _answer(thought, f"({letter}) {option}{why}")


def _story(told: list[Match], question: Question, now: datetime, ranked: tuple[Match, ...]) -> str:
    """The best find, and with it what belongs to it: others of a list, or what held before."""
    dated = "when" in question.cues
    parts = [recollection(told[0], now, dated=dated)]
    others = [match for match in (*told[1:], *_others(told[0], question, ranked)) if match.evidence.time]
    for match in others[: _MOST_QUOTED - 1]:
        ended = match.evidence.until
        until = day(ended, now).removeprefix("on ") if ended else ""
        when = day(match.evidence.time, now) if match.evidence.time else ""
        form = "changed_from" if ended else "also_then" if when in parts[0].lower() else "also"
        parts.append(str(phrases()[form]).format(when=when, until=until, quote=quoted(passage(match))))
    return " ".join(parts)


def _others(first: Match, question: Question, ranked: tuple[Match, ...]) -> list[Match]:
    """What to quote beside the best find: for lists other items, for changes what ended."""
    rest = [
        match
        for match in ranked
        if match.score >= first.score * 0.6 and match.evidence.id != first.evidence.id
    ]
    if "change" in question.cues:
        return [match for match in rest if match.evidence.until][:1]
    return rest[: _MOST_QUOTED - 1] if question.cues & {"several", "wish"} else []


def _told_then(question: Question, situation: Situation) -> list[Match]:
    """For "what did I do last Sunday": what the user told in that time, where no other word is asked for."""
    if not _has_bounds(question.window) or question.focus - generic_stems():
        return []
    own = [piece for piece in situation.found if piece.source == "turn" and not piece.outside]
    told = {match.evidence.id: match for match in reversed(matches(question, own))}
    return sorted(told.values(), key=lambda match: match.evidence.time or situation.now)[:_MOST_QUOTED]


def _recognised(situation: Situation, seen: Match, ranked: tuple[Match, ...]) -> str:
    shown = {stem(word) for word in content_words(seen.sentence)} - generic_stems()
    stories = [
        match
        for match in ranked
        if match.evidence.id != seen.evidence.id
        and shown & {stem(word) for word in content_words(match.sentence)}
    ]
    told = " ".join(recollection(match, situation.now) for match in (seen, *stories[:1]))
    return toned(str(phrases()["recognised"]).format(story=told), "found", situation)


def _answer_about(situation: Situation, ranked: tuple[Match, ...]) -> str:
    facts = [
        f"{key.replace('_', ' ').capitalize()}: {text.rstrip('.')}." for key, text in situation.core.items()
    ]
    lasting = [match for match in ranked if match.evidence.source in ("semantic", "procedural")]
    facts += [recollection(match, situation.now) for match in lasting if not match.evidence.until]
    if not facts:
        return _answer("I know nothing yet.", pick(phrases()["not_found"]["personal"], "").format(window=""))
    return _answer("I sum up what I know.", str(phrases()["about_me"]).format(story=" ".join(facts[:6])))


def _not_found(situation: Situation, question: Question) -> str:
    kind = "wish" if "wish" in question.cues else "personal"
    if situation.images and not question.keywords:
        kind = "image"
    elif kind == "personal" and not question.cues & {"personal", "recall"} and not names_in(situation.text):
        kind = "general"
    window = " from that time" if _has_bounds(question.window) else ""
    text = pick(phrases()["not_found"][kind], situation.text).format(window=window)
    return text if kind in ("wish", "general") else toned(text, "not_found", situation)


def _today(now: datetime) -> str:
    spoken = day(now, now.replace(year=now.year + 1)).removeprefix("on ")
    return str(phrases()["today"]).format(day=spoken, clock=f"{now:%H:%M}")


def _has_bounds(window: Window) -> bool:
    return bool(window.start or window.end)


def _retrieve(thought: str, lookup: Retrieve) -> str:
    start, end = (bound and f"{bound:%Y-%m-%d %H:%M}" for bound in (lookup.window.start, lookup.window.end))
    body = {"keywords": lookup.keywords, "start_time": start, "end_time": end}
    return f"<think>{thought}</think><retrieve>{_harmless(json.dumps(body, ensure_ascii=False))}</retrieve>"


def _answer(thought: str, text: str) -> str:
    return f"<think>{thought}</think><answer>{_harmless(text)}</answer>"


def _harmless(text: str) -> str:
    """Quotes may hold our tags; a zero-width space keeps them from ending the block."""
    return _TAG.sub("<\u200b", text)
