"""What renders manifests needs a program that can."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

RENDERS = shutil.which("kubectl") or shutil.which("kustomize")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if RENDERS:
        return
    for item in (item for item in items if item.path.is_relative_to(Path(__file__).parent)):
        item.add_marker(pytest.mark.skip(reason="neither kubectl nor kustomize is installed"))
