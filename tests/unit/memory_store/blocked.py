"""A table whose files cannot be written, be it by root."""

from pathlib import Path


class Blocked:
    """Something else is in the place of the folder of a table's data files.

    ``readable``: of its transactions instead, so that nothing can be committed and all can be read.
    """

    def __init__(self, folder: Path, table: str = "turns", *, readable: bool = False) -> None:
        self._folder = folder / f"{table}.lance" / ("_transactions" if readable else "data")
        self._away = self._folder.with_name("away")

    def __enter__(self) -> None:
        if self._folder.exists():
            self._folder.rename(self._away)
        self._folder.write_text("")

    def __exit__(self, *_: object) -> None:
        self._folder.unlink()
        if self._away.exists():
            self._away.rename(self._folder)
