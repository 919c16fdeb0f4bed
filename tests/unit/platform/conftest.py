from collections.abc import Iterator

import pytest

from tests.unit.platform.update_workbench import close_stores


@pytest.fixture(autouse=True)
def closed_stores() -> Iterator[None]:
    """No store of the update stage stays open after the test that opened it."""
    yield
    close_stores()
