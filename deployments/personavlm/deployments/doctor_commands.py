"""`personavlm doctor`: examines the machine, the store and the cluster, and says what helps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table
from rich.text import Text

from personavlm.deployments.doctor_cluster import cluster
from personavlm.deployments.doctor_machine import machine
from personavlm.deployments.findings import Finding
from personavlm.platform.config import Config

STYLES = {"ok": "green", "warning": "yellow", "wrong": "bold red"}


def run(config: Config, *, as_json: bool) -> int:
    """Show every finding; the exit status is 1 where something is wrong."""
    findings = [*machine(config), *cluster(config)]
    # LanceDB comes after Ray's processes were asked: it does not like a fork.
    from personavlm.deployments.doctor_storage import storage

    findings += storage(config.memory)
    failed = any(finding.status == "wrong" for finding in findings)
    if as_json:
        print(json.dumps({"ok": not failed, "findings": [asdict(each) for each in findings]}, indent=2))
    else:
        Console().print(_table(findings))
    return int(failed)


def _table(findings: Sequence[Finding]) -> Table:
    table = Table("", "", "found", "what helps", show_lines=True)
    for each in findings:
        status = Text(each.status, style=STYLES[each.status])
        table.add_row(Text(each.check), status, Text(each.found), Text(each.remedy))
    return table
