"""From records to what clients see: the trace of a reply, memories, turns and profiles as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from personavlm.deployments.api import Evidence, Trace, TraceStep, TraceWindow
from personavlm.deployments.events import Done, Found
from personavlm.memory_store import TRAITS, AnyMemory, EpisodeLink, Hit, Profile, ThreadEntry, Turn
from personavlm.platform.agent.descriptors import descriptors
from personavlm.platform.agent.types import StepTrace


def trace_of(done: Done, wanted: bool) -> Trace:
    """The `personavlm` object; only the turn's id unless a trace is wanted."""
    if not wanted:
        return Trace(turn_id=done.turn_id)
    return Trace(
        turn_id=done.turn_id,
        steps=[_step(step) for step in done.steps],
        evidence=[_evidence(found) for found in done.found],
        omitted_turns=done.omitted_turns,
        timings_ms={name: round(value, 2) for name, value in done.timings_ms.items()},
        model_version=done.served.version,
        replica=done.served.replica,
    )


def _step(step: StepTrace) -> TraceStep:
    return TraceStep(
        action=step.action,
        thinking=step.thinking,
        keywords=step.keywords,
        window=TraceWindow(start=step.window.start, end=step.window.end),
        found=list(step.found),
        outside_window=list(step.outside_window),
        widened=list(step.widened),
        repaired=step.repaired,
        engine_ms=round(step.engine_ms, 2),
        search_ms=round(step.search_ms, 2),
    )


def _evidence(found: Found) -> Evidence:
    return Evidence(
        id=found.item.id,
        kind=found.kind,
        time=found.item.event_time,
        text=_text(found.item),
        turn_ids=[turn.id for turn in found.turns],
        client_ids=[turn.client_id for turn in found.turns if turn.client_id],
    )


def _text(item: AnyMemory | Turn) -> str:
    return f"{item.user_text}\n{item.assistant_text}".strip() if isinstance(item, Turn) else item.text


def memory_json(memory: AnyMemory) -> dict[str, Any]:
    """A memory with its kind."""
    return {"kind": memory.kind.value, **asdict(memory)}


def turn_json(turn: Turn) -> dict[str, Any]:
    """A turn as a client may see it: without the thoughts behind its reply."""
    return {"kind": "turn", **{name: value for name, value in asdict(turn).items() if name != "thinking"}}


def hit_json(hit: Hit) -> dict[str, Any]:
    """A search hit: score, whether it lies outside the window, and the memory or turn."""
    item = turn_json(hit.item) if isinstance(hit.item, Turn) else memory_json(hit.item)
    found = {"score": round(hit.score, 4), "outside_window": hit.outside_window, "item": item}
    return found | ({"link": link_json(hit.link)} if hit.link else {})


def link_json(link: EpisodeLink) -> dict[str, Any]:
    """Two episodes of one thread, and what both speak of."""
    return {name: getattr(link, name) for name in ("episode", "related", "shared", "score")}


def thread_json(thread: Iterable[ThreadEntry]) -> dict[str, Any]:
    """The episodes of a thread, each with its links to older ones."""
    return {
        "data": [
            {"episode": memory_json(entry.episode), "links": [link_json(link) for link in entry.links]}
            for entry in thread
        ]
    }


def traits_json(profile: Profile) -> dict[str, float]:
    """The five traits by name."""
    return {name: round(value, 2) for name, value in zip(TRAITS, profile.traits, strict=True)}


def profile_json(history: tuple[Profile, ...]) -> dict[str, Any]:
    """The profile in force, in numbers and words, and how it came to be."""
    current = history[-1]
    return {
        "version": current.version,
        "traits": traits_json(current),
        "descriptors": list(descriptors(current)),
        "consent": current.consent,
        "history": [
            {
                "version": p.version,
                "event_time": p.event_time,
                "cause": p.cause,
                "traits": traits_json(p),
                "evidence": list(p.evidence),
            }
            for p in history
        ],
    }
