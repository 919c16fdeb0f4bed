"""The gym's acceptance: what SFT and GRPO reach on fresh questions, over several seeds.

``python -m tests.benchmarks.gym --seeds 5`` trains from nothing in one process (PyTorch, one thread), judges
every stage greedy, sampled, without the retriever and with the time filter ignored, and holds the figures
against demands. The control spends GRPO's CPU-seconds on more SFT instead. ``--recipe choice`` mixes in
questions with options, ``--recipe full`` asks all kinds, images among them.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from personavlm.jobs.evaluate.report import Figures
from personavlm.jobs.gym.preparation import GymFolder
from tests.benchmarks.gym_parts.recipe import CHOICE, FULL, OPEN, Recipe
from tests.benchmarks.gym_parts.seeds import SeedResult, run_seed
from tests.benchmarks.report import Report, arguments

RECIPES: Mapping[str, Recipe] = {"open": OPEN, "choice": CHOICE, "full": FULL}
MOST_SECONDS, MOST_MB = 150, 1024


def main() -> int:
    """Train and judge each seed; 1 where a demand does not hold."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--seeds", type=int, default=5, help="how many, from 0")
    parser.add_argument("--recipe", choices=tuple(RECIPES), default="open", help="what is taught and asked")
    parser.add_argument("--no-control", action="store_true", help="leave out the control")
    args = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    recipe = RECIPES[args.recipe]
    report = Report(f"The gym, recipe {args.recipe}, {recipe.asked} fresh questions a seed")
    for seed in range(args.seeds):
        with tempfile.TemporaryDirectory(prefix="personavlm-gym-") as folder:
            result = run_seed(recipe, seed, GymFolder(Path(folder)), _progress, control=not args.no_control)
        _show(report, seed, result)
        _hold(report, args.recipe, seed, result)
    report.finish(args.json)
    return 0 if report.holds else 1


def _progress(stage: str, step: int, value: float) -> None:
    if step % 20 == 0:
        print(f"\r{stage} {step}: {value:.3f}   ", end="", file=sys.stderr, flush=True)


def _show(report: Report, seed: int, result: SeedResult) -> None:
    rows = [
        [f"{stage}, {condition.name}", *_cells(condition.all)]
        for stage, found in result.reports.items()
        for condition in found.conditions
    ]
    report.table(f"Seed {seed}", ("", "reward", "accuracy", "format", "retrievals"), rows)
    spent = [[stage, f"{seconds:.0f}"] for stage, seconds in result.seconds.items()]
    report.table("", ("stage", "CPU-s"), [*spent, ["most memory, MB", f"{result.memory_mb:.0f}"]])
    report.figure(
        f"seed {seed}",
        {
            "stages": {stage: found.model_dump(mode="json") for stage, found in result.reports.items()},
            "seconds": result.seconds,
            "memory_mb": result.memory_mb,
        },
    )


def _cells(figures: Figures) -> list[str]:
    return [f"{value:.2f}" for value in (figures.reward, figures.accuracy, figures.form, figures.retrievals)]


def _hold(report: Report, recipe: str, seed: int, result: SeedResult) -> None:
    """The demands of this recipe."""
    before = {condition.name: condition.all for condition in result.reports["SFT"].conditions}
    after = {condition.name: condition for condition in result.reports["GRPO"].conditions}
    greedy, sampled = after["greedy"].all, after["T=1"].all
    gain = greedy.reward - before["greedy"].reward
    report.demand(f"seed {seed}: GRPO gain, greedy", gain, ">=", 0.15 if recipe == "full" else 0.18)
    if "control" in result.reports:
        control = result.reports["control"].condition("greedy").all.reward
        report.demand(f"seed {seed}: GRPO above the control, greedy", greedy.reward - control, ">=", 0.1)
    if recipe == "choice":
        for form, bound in (("open", 0.8), ("4 options", 0.7), ("2 options", 0.8)):
            share = after["greedy"].forms[form].accuracy
            report.demand(f"seed {seed}: right after GRPO, {form}", share, ">=", bound)
    if recipe != "open":
        return
    report.demand(f"seed {seed}: SFT format, T=1", before["T=1"].form, ">=", 0.75)
    report.demand(f"seed {seed}: SFT reward, T=1, at least", before["T=1"].reward, ">=", 0.55)
    report.demand(f"seed {seed}: SFT reward, T=1, at most", before["T=1"].reward, "<=", 0.92)
    report.demand(f"seed {seed}: GRPO gain, T=1", sampled.reward - before["T=1"].reward, ">=", 0.2)
    report.demand(f"seed {seed}: final reward, T=1", sampled.reward, ">=", 0.88)
    report.demand(f"seed {seed}: final format, T=1", sampled.form, ">=", 0.94)
    report.demand(f"seed {seed}: retrievals after SFT, T=1", before["T=1"].retrievals, "<=", 0.2)
    report.demand(f"seed {seed}: retrievals after GRPO, T=1", sampled.retrievals, ">=", 0.45)
    off = after["retriever off"].all.reward
    report.demand(f"seed {seed}: fall without the retriever", greedy.reward - off, ">=", 0.15)
    months = [after[name].kinds["IEA"].accuracy for name in ("greedy", "time ignored")]
    report.demand(f"seed {seed}: fall of IEA, time ignored", months[0] - months[1], ">=", 0.12)
    training = result.seconds["SFT"] + result.seconds["GRPO"]
    report.demand(f"seed {seed}: CPU of training", training, "<=", MOST_SECONDS, "s")
    report.demand(f"seed {seed}: most memory", result.memory_mb, "<=", MOST_MB, "MB")


if __name__ == "__main__":
    sys.exit(main())
