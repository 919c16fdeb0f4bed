"""How fast one GPU trains a Qwen2.5-VL of 7 billion random weights, beside what the paper's authors needed.

``python -m tests.benchmarks.gpu_train [--layers 28] [--steps 5]``. Needs a GPU and the extra `train`; with
fewer layers it fits a smaller one, and says so. Speed is beside a matrix product measured on the same GPU.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

LENGTHS = (300, 3000)
"""Tokens of a sequence, drawn evenly; PersonaVLM's prompts are of this order."""
PACK_TOKENS = 16_384
PAPER = (
    "PersonaVLM on 8 H800 (its released scripts and reported hours): SFT 1.35 samples/s on each GPU; "
    "GRPO 46 s a step of 72 rollouts on 6 training and 2 judging GPUs"
)


def main() -> int:
    """Measure and print; 1 where there is no GPU."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.gpu_train", description=__doc__)
    parser.add_argument("--layers", type=int, default=28, help="28 is the 7B model")
    parser.add_argument("--steps", type=int, default=5)
    args = parser.parse_args()
    import torch

    if not torch.cuda.is_available():
        print("gpu_train: this needs a GPU, and PyTorch finds none here", file=sys.stderr)
        return 1
    print(f"{torch.cuda.get_device_name()}, {args.layers} of 28 layers, LoRA of rank 64\n{PAPER}")
    with tempfile.TemporaryDirectory() as folder:
        _measure(Path(folder), args.layers, args.steps)
    return 0


def _measure(folder: Path, layers: int, steps: int) -> None:
    import torch

    from personavlm.jobs.learning.config import GrpoLearnerConfig
    from personavlm.jobs.learning.grpo_step import GrpoStep
    from personavlm.jobs.learning.learner import Learner
    from personavlm.jobs.learning.strategies import World
    from personavlm.jobs.learning.supervised import supervised_step
    from personavlm.jobs.trajectories import Example, Trajectory, Weighted
    from tests.benchmarks.large_checkpoint import write_large_checkpoint

    model = write_large_checkpoint(folder / "model", layers)
    config = GrpoLearnerConfig.model_validate(
        {
            "policy": {"model": str(model), "lora": {"rank": 64}, "train_merger": False},
            "strategy": {"kind": "ddp", "pack_tokens": PACK_TOKENS},
        }
    )
    learner = Learner(config, folder / "images", 1000, World(0, 1, torch.device("cuda")))
    random = Random(0)
    lengths = [random.randint(*LENGTHS) for _ in range(24)]
    ids = [tuple(random.randrange(200, 400) for _ in range(n)) for n in lengths]
    masks = [tuple(at > len(one) // 2 for at in range(len(one))) for one in ids]
    examples = [Example(one, mask) for one, mask in zip(ids, masks, strict=True)]
    tokens, peak = sum(lengths), _matmul_flops()
    # Two for each weight and token forwards, two backwards: frozen weights need no gradient of their own.
    flops = 4 * sum(one.numel() for one in learner.policy.model.model.language_model.parameters()) * tokens
    packed = _seconds(lambda: supervised_step(learner, examples), steps)
    alone = _seconds(lambda: [supervised_step(learner, [one]) for one in examples], 1)
    memory = torch.cuda.max_memory_allocated() / 2**30
    print(f"bf16 matrix product: {peak / 1e12:.0f} TFLOP/s")
    print(f"SFT, packed: {tokens / packed:,.0f} tokens/s, {len(ids) / packed:.2f} samples/s, "
          f"{flops / packed / peak:.0%} of the matrix product")  # fmt: skip
    print(f"SFT, one sequence at a time: {tokens / alone:,.0f} tokens/s; peak memory {memory:.1f} GiB")
    rows = [
        Weighted(
            Trajectory(
                one,
                mask,
                tuple(-1.0 if mine else 0.0 for mine in mask),
                tuple("v" if mine else "" for mine in mask),
            ),
            random.gauss(0, 1),
        )
        for one, mask in zip(ids, masks, strict=True)
    ]
    step = GrpoStep(learner, config)
    seconds = _seconds(lambda: step(rows), steps)
    print(
        f"GRPO, a learner step of {len(rows)} trajectories: {seconds:.2f} s, {tokens / seconds:,.0f} tokens/s"
    )


def _seconds(work: Callable[[], object], times: int) -> float:
    """The mean, after one that warms up."""
    import torch

    work()
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(times):
        work()
    torch.cuda.synchronize()
    return (time.perf_counter() - started) / times


def _matmul_flops(size: int = 8192, times: int = 20) -> float:
    """What the GPU does in bfloat16 where nothing else is in the way, in operations a second."""
    import torch

    one = torch.randn(size, size, device="cuda", dtype=torch.bfloat16)
    return 2 * size**3 / _seconds(lambda: one @ one, times)


if __name__ == "__main__":
    sys.exit(main())
