"""What a run gave, in numbers: `statistics.json`, `report.md`, and `report.png` with its plots."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean

from personavlm.jobs.data.writing import replacing
from personavlm.jobs.synthesize.parts import PartStatistics
from personavlm.jobs.synthesize.plots import draw_report

PAPER = {"reasoning": 0.436, "personality": 0.103, "memory": 0.461}  # arXiv 2604.13074, appendix B.2
PAPER_FORMS = {"choice": 0.556, "binary": 0.234, "open": 0.21}  # the same
Numbers = dict[str, float]


def write_report(output: Path, parts: Sequence[PartStatistics]) -> None:
    """Write all three files."""
    totals = totals_of(parts)
    with replacing(output / "statistics.json") as unfinished:
        unfinished.write_text(json.dumps(totals, indent=1) + "\n", encoding="utf-8")
    with replacing(output / "report.md") as unfinished:
        unfinished.write_text(_text(totals), encoding="utf-8")
    with replacing(output / "report.png") as unfinished:
        draw_report(parts, totals).save(unfinished, "PNG")


def totals_of(parts: Sequence[PartStatistics]) -> dict[str, Numbers]:
    """Everything that the report says, by its headings."""
    turns = sum(part.turns for part in parts)
    samples = _added(part.samples for part in parts)
    retrievals = [count for part in parts for count in part.retrievals]
    return {
        "lives": {
            "personas": len(parts),
            "turns": turns,
            "turns per persona": mean(part.turns for part in parts),
            "sessions per persona": mean(part.sessions for part in parts),
            "days per persona": mean(part.days for part in parts),
            "share of turns with an image": sum(part.image_turns for part in parts) / turns,
            "changed preferences and relations per persona": mean(part.changed for part in parts),
            "share of personas whose personality drifts": mean(part.drifts for part in parts),
            "texts written again": sum(part.corrected for part in parts),
        },
        "conversations to learn from": samples,
        "shares of conversations": _shares(_grouped(samples)),
        "questions asked": _added(part.asked for part in parts),
        "shares of forms to practise on": _shares(_added(part.forms for part in parts)),
        "lookups per question": {
            "mean": mean(retrievals) if retrievals else 0.0,
            **{f"with {count}": retrievals.count(count) for count in sorted(set(retrievals))},
        },
        "left out by the checks": _added(part.left_out for part in parts),
    }


def _added(counts: Iterable[Mapping[str, int]]) -> Numbers:
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))


def _grouped(samples: Mapping[str, float]) -> Numbers:
    return {
        "reasoning": samples.get("reasoning", 0),
        "personality": samples.get("personality", 0),
        "memory": sum(count for kind, count in samples.items() if kind not in ("reasoning", "personality")),
    }


def _shares(counts: Mapping[str, float]) -> Numbers:
    total = sum(counts.values())
    return {name: count / total if total else 0.0 for name, count in counts.items()}


def _text(totals: Mapping[str, Numbers]) -> str:
    lines = ["# Synthetic data", "", "![plots](report.png)", ""]
    for heading, numbers in totals.items():
        paper = {"shares of conversations": PAPER, "shares of forms to practise on": PAPER_FORMS}.get(heading)
        lines += [f"## {heading[0].upper()}{heading[1:]}", ""]
        lines += ["| | here | paper |", "|---|---|---|"] if paper else ["| | |", "|---|---|"]
        for name, value in numbers.items():
            beside = f" {paper.get(name, 0):.1%} |" if paper else ""
            lines.append(f"| {name} | {_number(value, 'share' in heading or 'share' in name)} |{beside}")
        lines += [""] if numbers else ["| nothing | |", ""]
    return "\n".join(lines)


def _number(value: float, share: bool) -> str:
    if share:
        return f"{value:.1%}"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"
