"""Ctrl-C and the polite kill."""

from __future__ import annotations

import signal
from collections.abc import Callable


def when_asked_to_stop(act: Callable[[], None]) -> None:
    """Call ``act`` on SIGINT and SIGTERM. To be called after Ray has started: it installs handlers too."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: act())
