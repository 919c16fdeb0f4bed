"""Reading archives: nothing of them is believed before it was checked."""

import hashlib
import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from tempfile import SpooledTemporaryFile
from typing import IO, Self

from pydantic import ValidationError

from personavlm.memory_store.errors import InvalidError
from personavlm.memory_store.lifecycle.archive import (
    FORMAT,
    IMAGE_NAME,
    MANIFEST,
    USER_NAME,
    VECTORS_NAME,
    Image,
    Manifest,
    Member,
)
from personavlm.memory_store.lifecycle.archive_lines import LINES, VECTOR_LINE, Line, VectorLine
from personavlm.memory_store.records import MemoryKind

SMALL, MOST_GROWTH = 64 << 20, 100
"""An archive from outside may unpack to ``SMALL`` bytes, or to so many times its own size."""
LONGEST_LINE = LARGEST_IMAGE = 64 << 20
LARGEST_MANIFEST = 256 << 20
_NO_LIMIT = 1 << 62
ROWS_AT_ONCE, BYTES_AT_ONCE = 1_000, 8 << 20
_IN_MEMORY = 16 << 20  # bytes of a user's archive within a tenant's before it goes to a temporary file
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_AGAIN = "Export again, or correct the member and the manifest"

VectorForms = Mapping[str, tuple[int, int]]
"""By table of vectors that may be taken in: numbers of a vector, and of a token's vector."""


class ArchiveError(InvalidError):
    """The file is no archive, is damaged, or holds what a store cannot take in."""


class _ZipReader:
    """A ZIP file with a manifest that lists exactly what is in it."""

    def __init__(self, file: IO[bytes], kind: str, *, limited: bool) -> None:
        self._limited = limited
        with _readable("the file"):
            self._zip = zipfile.ZipFile(file)
            size = file.seek(0, io.SEEK_END)
        self._infos = self._listed(size)
        self.manifest = self._read_manifest()
        if self.manifest.kind != kind:
            raise ArchiveError(f"this is the archive of a {self.manifest.kind}, not of a {kind}")
        for name in self._infos.keys() ^ {MANIFEST, *self.manifest.members}:
            raise ArchiveError(f"{name} is not both in the archive and in its manifest. {_AGAIN}")

    def _listed(self, size: int) -> dict[str, zipfile.ZipInfo]:
        infos = {info.filename: info for info in self._zip.infolist()}
        if len(infos) < len(self._zip.infolist()):
            raise ArchiveError("two members of the archive have one name")
        for info in infos.values():
            if info.flag_bits & 1 or info.compress_type not in _METHODS:
                raise ArchiveError(
                    f"{info.filename} is encrypted, or compressed by another method than deflate"
                )
        unpacked = sum(info.file_size for info in infos.values())
        if self._limited and unpacked > max(SMALL, MOST_GROWTH * size):
            raise ArchiveError(f"the archive has {size} bytes and would unpack to {unpacked}")
        return infos

    def _read_manifest(self) -> Manifest:
        info = self._infos.get(MANIFEST)
        if info is None:
            raise ArchiveError(f"the archive holds no {MANIFEST}: it is none, or was not written to its end")
        if info.file_size > LARGEST_MANIFEST:
            raise ArchiveError(f"{MANIFEST} has {info.file_size} bytes")
        with _readable(MANIFEST):
            text = self._zip.read(info)
        try:
            return Manifest.model_validate_json(text)
        except ValidationError as error:
            told = _told(error)
            raise ArchiveError(f"{MANIFEST}, {told}. This version reads format {FORMAT}") from error

    @contextmanager
    def _opened(self, name: str) -> Iterator[IO[bytes]]:
        with _readable(name), self._zip.open(self._infos[name]) as stream:
            yield stream

    def close(self) -> None:
        """Let go; the file given stays open."""
        self._zip.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class UserArchive(_ZipReader):
    """The archive of one user. ``limited`` bounds what it may make this process do: for archives from
    outside. ArchiveError for what cannot be taken in."""

    def __init__(self, file: IO[bytes], *, limited: bool = True) -> None:
        super().__init__(file, "user", limited=limited)
        for name in self.manifest.members:
            if not (_table(name) or IMAGE_NAME.fullmatch(name)):
                raise ArchiveError(f"{name} is nothing that belongs into the archive of a user")

    def check(self, forms: VectorForms) -> None:
        """Read everything once. Lines are told by member and number, with the field that is wrong.

        Vectors are checked as far as they are to be taken in; those of other tables are passed over.
        """
        kinds: dict[str, str] = {}
        for name, member in self.manifest.members.items():
            found = IMAGE_NAME.fullmatch(name)
            if found:
                digest = hashlib.sha256(self._image(name)).hexdigest()
                self._require(name, member, digest, digest == found[1])
                continue
            table, hashed = _table(name), hashlib.sha256()
            seen: set[object] = set()
            for number, line in enumerate(self._lines(name), start=1):
                hashed.update(line)
                if (row := _parsed(table, line, name, number, forms)) is not None:
                    _require_single(row, seen, kinds, table, f"{name}, line {number}")
            self._require(name, member, hashed.hexdigest(), True)

    def rows(self, forms: VectorForms) -> Iterator[tuple[str, list[Line]]]:
        """Rows of one table, a bounded number at a time, in the order in which they are to be written;
        vectors last."""
        for table in (*LINES, *forms):
            name = f"{table}.jsonl"
            if name not in self.manifest.members:
                continue
            rows: list[Line] = []
            size = 0
            for number, line in enumerate(self._lines(name), start=1):
                if size and (len(rows) == ROWS_AT_ONCE or size + len(line) > BYTES_AT_ONCE):
                    yield table, rows
                    rows, size = [], 0
                rows += filter(None, [_parsed(table, line, name, number, forms)])
                size += len(line)
            if rows:
                yield table, rows

    def images(self) -> Iterator[Image]:
        """One after the other."""
        for name in self.manifest.members:
            if found := IMAGE_NAME.fullmatch(name):
                yield Image(found[1], found[2], self._image(name))

    def _require(self, name: str, member: Member, digest: str, named: bool) -> None:
        if not named or digest != member.sha256 or self._infos[name].file_size != member.bytes:
            raise ArchiveError(f"{name} is not what the manifest says: its SHA-256 is {digest}. {_AGAIN}")

    def _image(self, name: str) -> bytes:
        if self._limited and self._infos[name].file_size > LARGEST_IMAGE:
            raise ArchiveError(f"{name} has more than {LARGEST_IMAGE} bytes")
        with self._opened(name) as stream:
            return stream.read()

    def _lines(self, name: str) -> Iterator[bytes]:
        limit = LONGEST_LINE if self._limited else _NO_LIMIT
        with self._opened(name) as stream, io.BufferedReader(stream) as lines:  # type: ignore[type-var]
            number = 0
            while line := lines.readline(limit):
                number += 1
                if len(line) == limit:
                    raise ArchiveError(f"{name}, line {number} has more than {limit} bytes")
                yield line


class TenantArchive(_ZipReader):
    """The archive of a tenant. ArchiveError for what cannot be taken in."""

    def __init__(self, file: IO[bytes], *, limited: bool = True) -> None:
        super().__init__(file, "tenant", limited=limited)
        for name in self.manifest.members:
            if not USER_NAME.fullmatch(name):
                raise ArchiveError(f"{name} is nothing that belongs into the archive of a tenant")

    def users(self) -> Iterator[UserArchive]:
        """The archive of each user, open until the next one is asked for."""
        for file in self.files():
            with UserArchive(file, limited=self._limited) as archive:
                yield archive

    def files(self) -> Iterator[IO[bytes]]:
        """The same as files, which are there until the next one is asked for."""
        for name, member in self.manifest.members.items():
            with SpooledTemporaryFile(_IN_MEMORY) as unpacked:
                hashed = hashlib.sha256()
                with self._opened(name) as stream:
                    while part := stream.read(1 << 20):
                        hashed.update(part)
                        unpacked.write(part)
                if hashed.hexdigest() != member.sha256:
                    raise ArchiveError(f"{name} is not what the manifest says. {_AGAIN}")
                unpacked.seek(0)
                yield unpacked


def _table(name: str) -> str:
    """The table that a member holds; "" for none."""
    table = name.removesuffix(".jsonl")
    return table if table != name and (table in LINES or VECTORS_NAME.fullmatch(table)) else ""


def _parsed(table: str, line: bytes, name: str, number: int, forms: VectorForms) -> Line | None:
    """The line; None for a vector of a model that is not this store's."""
    try:
        if table in LINES:
            return LINES[table].validate_json(line)
        if table not in forms:
            return None
        vector: VectorLine = VECTOR_LINE.validate_json(line)
    except ValidationError as error:
        raise ArchiveError(f"{name}, line {number}, {_told(error)}. {_AGAIN}") from error
    if misfit := vector.misfit(*forms[table]):
        raise ArchiveError(f"{name}, line {number}, {misfit}. {_AGAIN}")
    return vector


def _require_single(row: Line, seen: set[object], kinds: dict[str, str], table: str, where: str) -> None:
    """No two rows are the same, and a memory is of one kind."""
    for key in row.unique():
        if key in seen:
            raise ArchiveError(f"{where}, field {key[0]}: {key[1]!r} is there already. {_AGAIN}")
        seen.add(key)
    id = getattr(row, "id", "")
    if table in set(MemoryKind) and id and kinds.setdefault(id, table) != table:
        raise ArchiveError(f"{where}, field id: {id!r} is a memory of {kinds[id]} already. {_AGAIN}")


def _told(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"] if part not in ("memory", "mark"))
    return f"field {field}: {first['msg']}" if field else first["msg"]


@contextmanager
def _readable(what: str) -> Iterator[None]:
    """What zipfile raises for damaged files is an ArchiveError."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise ArchiveError(f"{what} cannot be read: {error}. It is no ZIP file, or damaged") from error
