"""What the platform costs beside vLLM's own server, with the same model, prompts and engine settings.

Three servers run side by side and are measured in alternation by the same clients: (a) vLLM's OpenAI server,
given the prompts that the platform would write; (b) the platform with retrieval off; (c) with retrieval on,
where every other thought of the model is a lookup. Turns are answered and not stored, since vLLM's server
stores nothing: so no update stage competes either. The first token is the first piece of any text.

    python -m tests.benchmarks.serving [--model FOLDER] [--gpus N] [--json FILE]

Without ``--model`` the model is a tiny one that speaks the grammar; it needs the environment of
`make test-vllm`.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import httpx
import openai
import yaml
from openai.types.chat import ChatCompletionMessageParam
from rich.progress import Progress

from personavlm.deployments.keys import create_key
from personavlm.deployments.local_ray import free_port
from personavlm.memory_store import Context, UserKey
from personavlm.platform.agent.prompting import first_segments
from personavlm.platform.agent.types import Message
from personavlm.platform.prompts.render import default_pack
from tests.benchmarks.report import Report
from tests.tiny_checkpoint import write_talking_checkpoint

REPEATS = 5
REQUESTS = {1: 8, 8: 32, 32: 64}  # by the number of clients
MAX_TOKENS, CONTEXT = 64, 4096
READY_S = 900
WORDS = [f" word{i}" for i in range(24)]
A, B, C = "vLLM's server", "platform, no retrieval", "platform, retrieval"
_numbers = count()


@dataclass(frozen=True)
class Reply:
    """Seconds to the first text and to the end, and tokens."""

    first: float
    total: float
    prompt: int
    cached: int
    written: int


@dataclass(frozen=True)
class Side:
    """One server and how it is asked."""

    name: str
    client: openai.AsyncOpenAI
    platform: bool

    async def ask(self) -> Reply:
        """One streamed reply to a message that nobody has sent before."""
        number = next(_numbers)
        started = perf_counter()
        first, usage = 0.0, None
        stream = await self.client.chat.completions.create(
            model="talker", messages=self._messages(f"What did I say about number {number}?"),
            stream=True, stream_options={"include_usage": True}, max_tokens=MAX_TOKENS, temperature=1.0,
            **self._more(number),
        )  # fmt: skip
        async for chunk in stream:
            delta = chunk.choices[0].delta if chunk.choices else None
            if delta and not first and (delta.content or getattr(delta, "reasoning_content", None)):
                first = perf_counter() - started
            usage = chunk.usage or usage
        assert usage is not None and first
        details = usage.prompt_tokens_details
        cached = (details.cached_tokens or 0) if details else 0
        total = perf_counter() - started
        return Reply(first, total, usage.prompt_tokens, cached, usage.completion_tokens)

    def _messages(self, text: str) -> list[ChatCompletionMessageParam]:
        if self.platform:
            return [{"role": "user", "content": text}]
        now = Message(UserKey("acme", "u"), text, datetime.now(UTC))
        system, user = first_segments(default_pack(), Context(), now, max_retrievals=0, max_images=0)
        return [{"role": "system", "content": system.text}, {"role": "user", "content": user.text}]

    def _more(self, number: int) -> dict[str, Any]:
        if self.platform:
            metadata = {"remember": "false", "reasoning": "true"}
            return {"user": f"u{number % 32}", "metadata": metadata}
        return {"stop": ["</answer>"]}


async def load(side: Side, clients: int) -> tuple[float, list[Reply]]:
    """Closed-loop clients; requests a second, and the replies."""
    replies: list[Reply] = []

    async def client() -> None:
        for _ in range(REQUESTS[clients] // clients):
            replies.append(await side.ask())

    started = perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return len(replies) / (perf_counter() - started), replies


async def measure(sides: list[Side], report: Report) -> None:
    """All numbers of clients, all sides in turn, as often as `REPEATS` says."""
    with Progress() as progress:
        task = progress.add_task("replies", total=REPEATS * len(sides) * sum(REQUESTS.values()))
        for clients in REQUESTS:
            runs: dict[str, list[tuple[float, list[Reply]]]] = {side.name: [] for side in sides}
            for side in sides:
                await side.ask()
            for repeat in range(REPEATS):
                for side in sides if repeat % 2 else sides[::-1]:
                    runs[side.name].append(await load(side, clients))
                    progress.advance(task, REQUESTS[clients])
            show(report, clients, runs)


def show(report: Report, clients: int, runs: dict[str, list[tuple[float, list[Reply]]]]) -> None:
    """A table for one number of clients, and what is demanded of (b)."""
    rows = []
    for name, done in runs.items():
        replies = [reply for _, part in done for reply in part]
        rates = [rate for rate, _ in done]
        ratios = [mine / other for mine, (other, _) in zip(rates, runs[A], strict=True)]
        firsts, totals = [r.first * 1000 for r in replies], [r.total * 1000 for r in replies]
        share = sum(r.cached for r in replies) / sum(r.prompt for r in replies)
        report.figure(f"{name}, {clients}", {"requests/s": statistics.median(rates), "cached": share})
        rows.append((
            name, f"{statistics.median(rates):.2f}",
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})",
            f"{_percentile(firsts, 50):.0f} / {_percentile(firsts, 95):.0f}",
            f"{_percentile(totals, 50):.0f} / {_percentile(totals, 95):.0f}",
            f"{sum(r.written for r in replies) / sum(r.total for r in replies) * clients:.0f}",
            f"{share:.0%}",
        ))  # fmt: skip
        if name == B:
            report.demand(
                f"{B}, {clients} clients, requests/s over (a)", statistics.median(ratios), ">=", 0.6
            )
    columns = ("", "requests/s", "over (a)", "first, ms 50/95", "whole, ms 50/95", "tokens/s", "cached")
    report.table(f"{clients} clients", columns, rows)
    more = _first_ms(runs[B]) - _first_ms(runs[A])
    report.demand(f"{B}, {clients} clients, first token later than (a)", more, "<=", 15, "ms")


def _first_ms(runs: list[tuple[float, list[Reply]]]) -> float:
    return statistics.median(reply.first * 1000 for _, part in runs for reply in part)


def _percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


@contextmanager
def vllm_server(model: Path, dtype: str, gpus: int) -> Iterator[Side]:
    """(a), in a process of its own."""
    port = free_port()
    command = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model),
        "--served-model-name", "talker", "--dtype", dtype, "--max-model-len", str(CONTEXT),
        "--max-num-seqs", "32", "--port", str(port), "--host", "127.0.0.1", "--enable-prompt-tokens-details",
        "--generation-config", "vllm", "--no-enable-log-requests", "--uvicorn-log-level", "warning",
        *(["--gpu-memory-utilization", "0.3"] if gpus else ["--kv-cache-memory-bytes", str(256 * 2**20)]),
        *([] if gpus else ["--enforce-eager"]),
    ]  # fmt: skip
    with _process(command, f"http://127.0.0.1:{port}/health"):
        yield Side(A, openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none"), False)


@contextmanager
def platform(name: str, model: Path, dtype: str, gpus: int, retrievals: int) -> Iterator[Side]:
    """(b) or (c): `personavlm serve`."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        key = create_key(Path(folder) / "keys.json", "acme", replay=True)
        engine = {
            "kind": "vllm", "model": str(model), "name": "talker", "dtype": dtype, "context_tokens": CONTEXT,
            "max_batch": 32, "compile": bool(gpus),
            **({"gpu_memory": 0.3} if gpus else {"kv_cache_mb": 256}),
        }  # fmt: skip
        config = {
            "service": {"port": port, "keys_file": f"{folder}/keys.json", "request_timeout_s": 600},
            "memory": {"uri": f"{folder}/memory", "actors": 1}, "engine": engine,
            "policy": {"cpus": 0.1, "gpus": 0.3 if gpus else 0},
            "agent": {"max_retrievals": retrievals, "max_tokens": MAX_TOKENS, "temperature": 1.0},
        }  # fmt: skip
        (Path(folder) / "config.yaml").write_text(yaml.safe_dump(config))
        command = [
            sys.executable, "-m", "personavlm.deployments", "serve", "--config", f"{folder}/config.yaml",
        ]  # fmt: skip
        with _process(command, f"http://127.0.0.1:{port}/readyz"):
            yield Side(name, openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=key), True)


@contextmanager
def _process(command: list[str], ready_url: str) -> Iterator[None]:
    settings = {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    settings |= {"TORCH_COMPILE_DISABLE": "1"} if "--enforce-eager" in command else {}
    process = subprocess.Popen(command, env=os.environ | settings, stdout=subprocess.DEVNULL)
    try:
        _wait(process, ready_url)
        yield
    finally:
        process.terminate()
        process.wait(60)


def _wait(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = perf_counter() + READY_S
    while perf_counter() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"the server ended with status {process.returncode} before it was ready")
        try:
            if httpx.get(url, timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        sleep(0.5)  # between two looks
    raise SystemExit(f"{url} was not ready within {READY_S} s")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="a checkpoint of Qwen2.5-VL; a tiny one by default")
    parser.add_argument("--gpus", type=int, default=0, help="1: on a GPU that the three share")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    report = Report("Serving: the platform beside vLLM's own server")
    dtype = "bfloat16" if args.gpus else "float32"
    with ExitStack() as servers, tempfile.TemporaryDirectory() as folder:
        answering = args.model or write_talking_checkpoint(Path(folder) / "answering", WORDS)
        searching = args.model or write_talking_checkpoint(Path(folder) / "searching", WORDS, search=0.5)
        sides = [
            servers.enter_context(vllm_server(answering, dtype, args.gpus)),
            servers.enter_context(platform(B, answering, dtype, args.gpus, 0)),
            servers.enter_context(platform(C, searching, dtype, args.gpus, 3)),
        ]
        asyncio.run(measure(sides, report))
    report.finish(args.json)


if __name__ == "__main__":
    main()
