"""What an examination found: one line each, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warning", "wrong"]


@dataclass(frozen=True, slots=True)
class Finding:
    """``check`` names what was looked at. Where it is not ok, ``remedy`` says what helps."""

    check: str
    status: Status
    found: str
    remedy: str = ""


def ok(check: str, found: str) -> Finding:
    """Nothing to do."""
    return Finding(check, "ok", found)


def warning(check: str, found: str, remedy: str) -> Finding:
    """It works now; it may not for long."""
    return Finding(check, "warning", found, remedy)


def wrong(check: str, found: str, remedy: str) -> Finding:
    """The service cannot start or serve so."""
    return Finding(check, "wrong", found, remedy)
