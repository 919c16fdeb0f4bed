"""`personavlm store` without a running service: what a backup held comes back, a tenant can be erased."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from personavlm.memory_store import MemoryStore, TurnDraft, UserKey
from tests.unit.memory_store.encoders import ByteEncoder, WordEncoder


def personavlm(*arguments: str) -> str:
    command = [sys.executable, "-m", "personavlm.deployments", "store", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def config(folder: Path, place: str) -> str:
    file = folder / f"{place}.yaml"
    file.write_text(f"memory: {{uri: {folder / place}, shards: 1}}\n", encoding="utf-8")
    return str(file)


def turns(folder: Path, user: UserKey) -> list[str]:
    place = folder / "shard-0000"
    with MemoryStore.open(place, text_encoder=WordEncoder(), image_encoder=ByteEncoder()) as store:
        return [turn.user_text for turn in store.turns(user)]


def begin(folder: Path, *users: UserKey) -> None:
    place = folder / "shard-0000"
    with MemoryStore.open(place, text_encoder=WordEncoder(), image_encoder=ByteEncoder()) as store:
        for user in users:
            store.append_turn(user, TurnDraft(f"I am {user.user}", "Hello"))


def test_a_backup_comes_back_and_a_tenant_goes(tmp_path: Path) -> None:
    ann, bob = UserKey("acme", "ann"), UserKey("other", "bob")
    begin(tmp_path / "store", ann, bob)
    here, there = config(tmp_path, "store"), config(tmp_path, "restored")
    personavlm("backup", "--to", str(tmp_path / "backup"), "--config", here)
    personavlm("restore", "--from", str(tmp_path / "backup"), "--config", there)
    assert turns(tmp_path / "restored", ann) == ["I am ann"]
    assert "are erased" in personavlm("erase-tenant", "acme", "--config", there)
    assert turns(tmp_path / "restored", ann) == []
    assert turns(tmp_path / "restored", bob) == ["I am bob"]
    assert turns(tmp_path / "store", ann) == ["I am ann"]


def test_a_backup_comes_back_without_what_was_erased_since(tmp_path: Path) -> None:
    ann, bob = UserKey("acme", "ann"), UserKey("other", "bob")
    begin(tmp_path / "store", ann, bob)
    here, there = config(tmp_path, "store"), config(tmp_path, "restored")
    personavlm("backup", "--to", str(tmp_path / "backup"), "--config", here)
    personavlm("erase-tenant", "acme", "--config", here)
    known = "--erasures", str(tmp_path / "store")
    told = personavlm("restore", "--from", str(tmp_path / "backup"), *known, "--config", there)
    assert "1 erasures are done again" in told
    assert turns(tmp_path / "restored", ann) == []
    assert turns(tmp_path / "restored", bob) == ["I am bob"]


def test_a_tenant_is_carried_to_another_store_as_another_tenant(tmp_path: Path) -> None:
    ann, amy, bob = UserKey("acme", "ann"), UserKey("acme", "amy"), UserKey("other", "bob")
    begin(tmp_path / "store", ann, amy, bob)
    here, there = config(tmp_path, "store"), config(tmp_path, "another")
    archive = str(tmp_path / "acme.zip")
    personavlm("export-tenant", "acme", "--to", archive, "--config", here)
    personavlm("import-tenant", "globex", "--from", archive, "--config", there)
    assert turns(tmp_path / "another", UserKey("globex", "ann")) == ["I am ann"]
    assert turns(tmp_path / "another", UserKey("globex", "amy")) == ["I am amy"]
    assert turns(tmp_path / "another", UserKey("globex", "bob")) == []
    found = {
        cells[0]: cells[1:4] for cells in map(cells_of, personavlm("usage", "--config", here).splitlines())
    }
    assert found["acme"] == ["2", "2", "0"] and found["other"] == ["1", "1", "0"]


def cells_of(line: str) -> list[str]:
    """Of a row of a table; one empty text of any other line."""
    return [cell.strip() for cell in line.split("│")[1:-1]] or [""]
