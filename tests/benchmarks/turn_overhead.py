"""What a chat turn costs besides its engine, beside a no-op application with the same hops.

Both applications run on one cluster, in one process tree, and are measured in alternation. A turn crosses
HTTP, ingress, policy, and three calls of the user's memory actor (begin, search, append); the no-op crosses
the same and does nothing there.

    python tests/benchmarks/turn_overhead.py [--json FILE]
"""

import argparse
import asyncio
import statistics
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from personavlm.deployments.local_ray import free_port, prepare_environment

prepare_environment()

import httpx  # noqa: E402
import ray  # noqa: E402
from fastapi import FastAPI, Request  # noqa: E402
from fastapi.responses import StreamingResponse  # noqa: E402
from ray import serve  # noqa: E402
from ray.actor import ActorHandle  # noqa: E402
from ray.serve.handle import DeploymentHandle  # noqa: E402

from personavlm.deployments.app import running  # noqa: E402
from personavlm.deployments.keys import create_key  # noqa: E402
from personavlm.platform.config import Config, MemoryConfig, ServiceConfig  # noqa: E402
from personavlm.platform.encoders.minilm import MiniLmEncoder  # noqa: E402
from tests.benchmarks.report import Report  # noqa: E402

REPEATS, TURNS, WARM_UP, KNOWN_TURNS = 7, 40, 15, 200
USERS = [f"u{number}" for number in range(8)]
STAGES = ("context", "search", "append")
CALLS = {"context": "begin", "search": "search", "append": "append"}


class NoopMemory:
    """An actor whose calls return at once."""

    async def call(self, payload: bytes) -> bytes:
        return payload


class NoopPolicy:
    """Three calls of the actor, and one reply."""

    def __init__(self, memory: ActorHandle) -> None:
        self._memory = memory

    async def chat(self, payload: bytes) -> AsyncIterator[dict[str, float]]:
        timings = {}
        for stage in STAGES:
            started = perf_counter()
            await self._memory.call.remote(payload)
            timings[stage] = (perf_counter() - started) * 1000
        yield timings


class NoopIngress:
    """HTTP in front of the no-op policy, streaming and not, as the real ingress."""

    def __init__(self, policy: DeploymentHandle) -> None:
        self._policy = policy

    def __serve_build_asgi_app__(self) -> FastAPI:
        app = FastAPI()

        @app.post("/chat", response_model=None)
        async def chat(request: Request) -> StreamingResponse | dict[str, Any]:
            replies = self._policy.options(stream=True).chat.remote(await request.body())
            timings = await anext(aiter(replies))
            if request.query_params.get("stream"):
                return StreamingResponse(iter(["data: {}\n\n"]), media_type="text/event-stream")
            return {"personavlm": {"timings_ms": timings}}

        return app


def start_noop() -> None:
    memory = ray.remote(NoopMemory).options(num_cpus=0.1).remote()
    options = {"num_cpus": 0.1}
    policy = serve.deployment(name="noop-policy", ray_actor_options=options)(NoopPolicy).bind(memory)
    ingress = serve.deployment(name="noop-ingress", ray_actor_options=options)(serve.ingress()(NoopIngress))
    serve.run(ingress.bind(policy), name="noop", route_prefix="/noop")


class Target:
    """One application under measurement."""

    def __init__(self, client: httpx.AsyncClient, path: str) -> None:
        self._client, self._path = client, path

    async def turn(
        self, user: str, *, stream: bool = False, trace: bool = False
    ) -> tuple[float, dict[str, float]]:
        """Milliseconds of one turn as the client sees it, and the stages that the service reports."""
        body = {
            "model": "rules",
            "user": user,
            "stream": stream,
            "messages": [{"role": "user", "content": "Where does my sister Ana live?"}],
            "metadata": {"trace": "true"} if trace else {},
        }
        started = perf_counter()
        response = await self._client.post(self._path, json=body, params={"stream": "1"} if stream else None)
        elapsed = (perf_counter() - started) * 1000
        response.raise_for_status()
        return elapsed, response.json()["personavlm"].get("timings_ms", {}) if trace else {}

    async def run(self, users: Sequence[str], *, stream: bool = False) -> list[float]:
        """Closed-loop clients, one a user; all turns' milliseconds."""

        async def one(user: str) -> list[float]:
            return [(await self.turn(user, stream=stream))[0] for _ in range(TURNS // len(users))]

        return [ms for part in await asyncio.gather(*map(one, users)) for ms in part]


async def seed(client: httpx.AsyncClient) -> None:
    """Give every user a past to search."""
    for user in USERS:
        turns = [
            {
                "client_id": f"t{i}",
                "event_time": f"2026-01-{1 + i // 24:02d}T{i % 24:02d}:00:00Z",
                "user_text": f"Entry {i}: my sister Ana lives in Porto and I met friend number {i}.",
                "assistant_text": "I see.",
            }
            for i in range(KNOWN_TURNS)
        ]
        reply = await client.post("/v1/turns", json={"user": user, "turns": turns})
        reply.raise_for_status()
        now = {"now": "2026-02-01T00:00:00Z"}
        (await client.post(f"/v1/users/{user}/sessions/close", json=now)).raise_for_status()


async def measure(url: str, key: str, report: Report) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=120) as client:
        await seed(client)
        real, noop = Target(client, "/v1/chat/completions"), Target(client, "/noop/chat")
        for target in (real, noop):
            for _ in range(WARM_UP):
                await target.turn(USERS[-1])
        for clients in (1, 8):
            await totals(report, real, noop, clients, stream=False)
        await totals(report, real, noop, 1, stream=True)
        await stages(report, client, real, noop)


async def totals(report: Report, real: Target, noop: Target, clients: int, *, stream: bool) -> None:
    """Platform time of both sides in alternation, and the ratio."""
    pairs = []
    for repeat in range(REPEATS):
        # One client talks as another user each time: a session of tens of turns, not of hundreds.
        users = USERS if clients > 1 else USERS[repeat : repeat + 1]
        ours = await real.run(users, stream=stream)
        theirs = await noop.run(users, stream=stream)
        engine = await engine_ms(real, users[0])
        pairs.append((statistics.median(ours) - engine, statistics.median(theirs)))
    name = f"{clients} client{'s' if clients > 1 else ''}, {'streamed' if stream else 'whole'}"
    ratios = [ours / theirs for ours, theirs in pairs]
    report.samples(f"turn without engine, {name}", "ms", [ours for ours, _ in pairs])
    report.samples(f"no-op, {name}", "ms", [theirs for _, theirs in pairs])
    report.samples(f"ratio, {name}", "x", ratios)
    if clients == 1 and not stream:
        report.demand("p50 at 1 client over no-op", statistics.median(ratios), "<=", 2.0)


async def engine_ms(real: Target, user: str) -> float:
    """The engine's own share of a turn, as the service reports it."""
    return statistics.median([(await real.turn(user, trace=True))[1]["engine"] for _ in range(5)])


async def stages(report: Report, client: httpx.AsyncClient, real: Target, noop: Target) -> None:
    """Where the time goes: each call of the memory actor beside the same call doing nothing."""
    http = [await _timed(client.get("/healthz")) for _ in range(TURNS)]
    report.samples("stage http (healthz)", "ms", http)
    ours = [(await real.turn(USERS[-1], trace=True))[1] for _ in range(TURNS)]
    theirs = [(await noop.turn(USERS[-1], trace=True))[1] for _ in range(TURNS)]
    for stage in STAGES:
        report.samples(f"stage {stage}", "ms", [timing[stage] for timing in ours])
        report.samples(f"stage {stage}, no-op", "ms", [timing[stage] for timing in theirs])
    encoder = MiniLmEncoder()
    encoding = []
    for _ in range(TURNS):
        started = perf_counter()
        encoder.encode(["sister, Ana, live", "Where does my sister Ana live?"])
        encoding.append((perf_counter() - started) * 1000)
    report.samples("of search: encoding the query", "ms", encoding)


async def _timed(request: Any) -> float:  # noqa: ANN401 - any awaitable
    started = perf_counter()
    await request
    return (perf_counter() - started) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    report = Report("Chat turn: platform time beside a no-op with the same hops")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        key = create_key(folder / "keys.json", "benchmark", replay=True)
        config = Config(
            service=ServiceConfig(port=free_port(), keys_file=folder / "keys.json"),
            memory=MemoryConfig(uri=str(folder / "memory")),
        )
        with running(config) as url:
            start_noop()
            asyncio.run(measure(url, key, report))
    report.finish(arguments.json)


if __name__ == "__main__":
    main()
