"""The text encoder: time to start, time per text, memory. `python -m tests.benchmarks.text_encoder`

Starting is timed in fresh processes with the graph in the cache, from the first import to the first
vector; building the graph, done once per machine, is shown apart.
"""

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.report import REPEATS, Report, arguments, timed

SHORT = "I had a flat white by the river this morning."
SUBJECTS = ("My sister", "The neighbour", "Our teacher", "A friend from the choir")
MANY = [
    f"{subject} told me about trip number {number} to the mountains, the hut there and the weather."
    for number in range(16)
    for subject in SUBJECTS
]

START = """
import sys, time
started = time.perf_counter()
from pathlib import Path
from personavlm.platform.encoders.minilm import MiniLmEncoder
encoder = MiniLmEncoder(Path(sys.argv[1]))
encoder.encode([sys.argv[2]])
seconds = time.perf_counter() - started
resident = next(line for line in open("/proc/self/status") if line.startswith("VmRSS"))
print(seconds, int(resident.split()[1]) / 1024)
"""


@dataclass(frozen=True, slots=True)
class Start:
    seconds: float
    resident_mb: float


def start(cache: Path) -> Start:
    """Start an encoder in a process of its own and encode one text."""
    command = [sys.executable, "-c", START, str(cache), SHORT]
    seconds, resident = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return Start(float(seconds), float(resident))


def measure(report: Report, cache: Path) -> None:
    """Fill the report; `cache` starts empty."""
    building = start(cache)
    starts = [start(cache) for _ in range(REPEATS)]

    from personavlm.platform.encoders.minilm import MiniLmEncoder

    encoder = MiniLmEncoder(cache)
    report.figure("first start on a machine, s", building.seconds)
    report.table("Once per machine", ("", "s"), [("build the graph and start", f"{building.seconds:.2f}")])
    seconds = report.samples("start, graph in the cache", "s", [one.seconds for one in starts])
    resident = report.samples("memory after one text", "MB", [one.resident_mb for one in starts])
    short = report.samples("one short text", "ms", timed(lambda: encoder.encode([SHORT]), 21, warm_up=3))
    report.samples("64 sentences", "ms", timed(lambda: encoder.encode(MANY)))
    report.samples("64 sentences by token", "ms", timed(lambda: encoder.encode_tokens(MANY)))
    report.demand("start", seconds, "<=", 0.75, "s")
    report.demand("memory", resident, "<=", 250, "MB")
    report.demand("one short text, no more than sentence-transformers takes", short, "<=", 15.6, "ms")


def main() -> None:
    options = arguments("Measure the text encoder.").parse_args()
    report = Report("Text encoder: all-MiniLM-L6-v2 by ONNX Runtime, fp32, one thread")
    with tempfile.TemporaryDirectory() as folder:
        measure(report, Path(folder))
    report.finish(options.json)


if __name__ == "__main__":
    main()
