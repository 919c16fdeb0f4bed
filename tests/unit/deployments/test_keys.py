"""Keys: shown once, kept as hashes, re-read when the file changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from personavlm.deployments.keys import Credential, KeyRing, KeysFileError, create_key


def test_a_key_opens_its_tenant_and_is_not_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "keys.json"
    key = create_key(path, "acme", replay=True)
    assert KeyRing(path).verify(key) == Credential("acme", replay=True)
    assert key not in path.read_text()
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("wrong", ["", "pvlm-", "acme", "pvlm-\u00e9"])
def test_other_keys_open_nothing(tmp_path: Path, wrong: str) -> None:
    create_key(tmp_path / "keys.json", "acme")
    assert KeyRing(tmp_path / "keys.json").verify(wrong) is None


def test_a_running_service_sees_new_and_withdrawn_keys(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    ring = KeyRing(path)
    assert ring.verify("pvlm-any") is None
    first, second = create_key(path, "acme"), create_key(path, "other")
    assert ring.verify(first) == Credential("acme", replay=False)
    assert ring.verify(second) == Credential("other", replay=False)
    path.unlink()
    assert ring.verify(first) is None


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text('{"keys": [{"sha256": "no"}]}')
    with pytest.raises(KeysFileError, match=r"keys\.json"):
        KeyRing(tmp_path / "keys.json").verify("pvlm-any")
    with pytest.raises(KeysFileError):
        create_key(tmp_path / "keys.json", "acme")
