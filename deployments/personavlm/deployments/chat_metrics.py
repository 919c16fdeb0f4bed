"""What is counted of requests: Ray's agents serve it to Prometheus, with `ray_` before each name.

Labels have few values: tenants that hold a key, models that are served, templates of paths. A request
without a valid key has no tenant, one that named no served model has no model. Users are in none of them.
"""

from __future__ import annotations

from typing import Protocol

from ray.util.metrics import Counter, Histogram

from personavlm.deployments.events import Done

SECONDS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300]
RETRIEVALS = [0.5, 1.5, 2.5, 3.5, 5.5, 10.5]  # between the whole numbers, because 0 is no boundary


class Answered(Protocol):
    """A request that is over."""

    route: str
    status: int
    tenant: str
    model: str
    seconds: float
    first_token_s: float | None
    done: Done | None


class ChatMetrics:
    """``personavlm_*``: requests of every kind by route, and of chats what their replies took."""

    def __init__(self) -> None:
        reply = ("tenant", "model")
        self._requests = Counter(
            "personavlm_requests_total", "Requests answered", ("tenant", "status", "model", "route")
        )
        self._first = Histogram(
            "personavlm_first_token_seconds", "Until a streamed reply's first token left", SECONDS, reply
        )
        self._seconds = Histogram(
            "personavlm_reply_seconds", "Until a whole reply had left, its turn durable", SECONDS, reply
        )
        self._retrievals = Histogram("personavlm_retrievals", "Searches of a reply", RETRIEVALS, reply)
        self._tokens = {
            name: Counter(f"personavlm_{name}_total", description, reply)
            for name, description in (
                ("prompt_tokens", "Tokens of prompts, over all steps"),
                ("cached_prompt_tokens", "Those of them that the engine had computed before"),
                ("completion_tokens", "Tokens that the engine wrote"),
            )
        }
        self._repaired = Counter(
            "personavlm_repaired_replies_total", "Replies with a step that broke the grammar", reply
        )

    def count(self, request: Answered) -> None:
        """Add one request that is over."""
        reply = {"tenant": request.tenant, "model": request.model}
        self._requests.inc(1, {**reply, "status": str(request.status), "route": request.route})
        if request.first_token_s is not None:
            self._first.observe(request.first_token_s, reply)
        if done := request.done:
            self._seconds.observe(request.seconds, reply)
            self._retrievals.observe(retrievals(done), reply)
            self._count_tokens(done, reply)
            if repaired(done):
                self._repaired.inc(1, reply)

    def _count_tokens(self, done: Done, reply: dict[str, str]) -> None:
        amounts = {
            "prompt_tokens": done.prompt_tokens,
            "cached_prompt_tokens": done.cached_tokens,
            "completion_tokens": done.completion_tokens,
        }
        for name, amount in amounts.items():
            if amount:  # Ray refuses to add nothing
                self._tokens[name].inc(amount, reply)


def retrievals(done: Done) -> int:
    """How often the reply searched memory."""
    return sum(step.action == "retrieve" for step in done.steps)


def repaired(done: Done) -> bool:
    """Whether something that the engine wrote had to be put right."""
    return any(step.repaired for step in done.steps)
