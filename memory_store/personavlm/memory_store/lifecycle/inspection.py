"""A look at a shard that its writer may have open: nothing is repaired, changed or locked."""

from collections.abc import Mapping

from personavlm.memory_store.storage.lance import connect
from personavlm.memory_store.storage.objects import open_objects
from personavlm.memory_store.storage.shard import UNFINISHED
from personavlm.memory_store.storage.tables import RECORDS


def problems(uri: str, options: Mapping[str, str]) -> list[str]:
    """What would keep this version from opening the shard, in words. StorageError, or what LanceDB raises."""
    if open_objects(uri, options).size(UNFINISHED) is not None:
        return ["a restore was not finished"]
    connection = connect(uri, dict(options))
    stored = set(connection.list_tables().tables)
    return [
        f"the table {name} has other columns than this version writes"
        for name, schema in RECORDS.items()
        if name in stored and connection.open_table(name).schema.names != schema.names
    ]
