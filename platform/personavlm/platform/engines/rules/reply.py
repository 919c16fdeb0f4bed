"""Replies without a language model: decide, look up, quote.

Statements are acknowledged, questions looked up by their content words and the time they speak of, and
answered with the remembered sentence that shares most with them. It writes the same grammar as a model.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import datetime

from personavlm.memory_store.queries import Window
from personavlm.platform.agent.grammar import Retrieve
from personavlm.platform.engines.base import Conversation
from personavlm.platform.engines.rules.answers import sure_kinds
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
from personavlm.platform.engines.rules.story import apart, diary, story
from personavlm.platform.engines.rules.wording import (
    acknowledgement,
    day,
    passage,
    phrases,
    pick,
    recollection,
    small_talk,
    toned,
)
from personavlm.platform.engines.rules.words import content_words, is_cjk, stems, without_dates

_TAG = re.compile(r"<(?=/?(?:think|answer|retrieve)\b)", re.IGNORECASE)
_POINTS = re.compile(
    r"\b(?:this|these|that|those)(?: one)?\?|\b(?:is|are|was|were) (?:this|these)\b", re.IGNORECASE
)
_AT_HAND = 0.9  # score from which the open session answers without a lookup
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
    at_hand = ranked and ranked[0].score > _AT_HAND and ranked[0].evidence.source != "core"
    if at_hand and question.asks and not question.options and not situation.images:
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
    if len(situation.tried) == 1 and sure_kinds(question.kinds) and ranked and not ranked[0].fits:
        return False
    return best(question, ranked) is not None or bool(_told_then(question, situation))


def _answer_from(situation: Situation, question: Question, ranked: tuple[Match, ...]) -> str:
    if question.options:
        return _answer_choice(situation, question, ranked)
    if situation.images and any(match.evidence.source == "visual" for match in ranked):
        return _answer("I have seen this before.", _recognised(situation, ranked))
    if situation.images and question.asks and _POINTS.search(situation.text):
        return _answer("I have not seen this before.", pick(phrases()["not_found"]["image"], ""))
    if not question.asks:
        return _answer("The user tells me something; the memory will keep it.", acknowledgement(situation))
    if "about_me" in question.cues:
        return _answer_about(situation, ranked)
    found = best(question, ranked)
    if found:
        told = story(found, question, situation.now, ranked)
    elif then := _told_then(question, situation):
        told = diary(then, situation.now)
    else:
        return _answer("Nothing that I found fits.", _not_found(situation, question))
    frame = next((cue for cue in ("wish", "explain") if cue in question.cues), "")
    told = str(phrases()["framed"][frame]).format(story=told) if frame else told
    return _answer("This answers it.", toned(told, "found", situation))


def _answer_choice(situation: Situation, question: Question, ranked: tuple[Match, ...]) -> str:
    letter, option, match = choose(question, ranked)
    why = f" {recollection(match, situation.now)}" if match else ""
    option = option if option.endswith((".", "!", "?")) else f"{option}."
    thought = "The memories speak for this option most." if match else "No memory decides; this fits best."
    return _answer(thought, f"({letter}) {option}{why}")


def _told_then(question: Question, situation: Situation) -> list[Match]:
    """For "what did I do last Sunday": what the user told in that time, where no other word is asked for."""
    if not _has_bounds(question.window) or question.focus - generic_stems():
        return []
    own = [piece for piece in situation.found if piece.source == "turn" and not piece.outside]
    told = {match.evidence.id: match for match in reversed(matches(question, own))}
    return sorted(told.values(), key=lambda match: match.evidence.time or situation.now)


def _recognised(situation: Situation, ranked: tuple[Match, ...]) -> str:
    """What was said when the thing was shown, and more of it if that does not yet answer."""
    seen = next(match for match in ranked if match.evidence.source == "visual")
    said = without_dates(seen.sentence)
    own = next((match for match in ranked if match.fits and said in passage(match)), None)
    quotes = [replace(own, evidence=replace(own.evidence, source="visual"))] if own else [seen]
    if not (own or seen.fits):
        quotes += [match for match in ranked if _belongs_to(seen, match)][:1]
    told = " ".join(recollection(match, situation.now) for match in apart(quotes))
    return toned(str(phrases()["recognised"]).format(story=told), "found", situation)


def _belongs_to(seen: Match, match: Match) -> bool:
    """Whether a memory is about what an image shows: a name or two telling words in common."""
    if match.evidence.source not in ("turn", "semantic") or match.evidence.id == seen.evidence.id:
        return False
    shared = stems(without_dates(seen.sentence)) & stems(match.sentence) - generic_stems()
    names = stems(" ".join(names_in(without_dates(seen.sentence))))
    return bool(shared & names) or len(shared) > 1


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
