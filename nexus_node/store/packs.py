"""Chunks in append-only files: what wears a card least (N7, performance.md; docs/adr/0002-store.md).

    pack    header | records | footer, once sealed
    header  magic 8 | how many records u32, 0 until sealed
    record  size u16 | leaf hash 32 | chunk
    footer  for each record: where it begins u32 | size u16 | leaf hash 32; then BLAKE3 of these 32

A record proves itself: whatever a power cut leaves of what was not synced is told from a record by its
hash. A place is one number below 2^43: pack << 24 | where its record begins, never 0. Little-endian.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from struct import Struct
from typing import Protocol

from blake3 import blake3

from nexus_node.base.limits import CHUNK_SIZE, KIB, MIB
from nexus_node.crypto.merkle import HASH_SIZE, leaf_hash

PACK_BYTES = 16 * MIB
"""A sealed pack's records: of 8 to 64 MB all wear and read alike, and a small one is soon compacted."""
_FLUSH_BYTES = 512 * KIB
_OPEN_FILES = 16
_MAGIC = b"NXPACK1\n"
_HEADER, _HEAD, _ENTRY = Struct("<8sI"), Struct(f"<H{HASH_SIZE}s"), Struct(f"<IH{HASH_SIZE}s")
_RECORD_MAX = _HEAD.size + CHUNK_SIZE
_OFFSET_BITS = 24
_OFFSET = (1 << _OFFSET_BITS) - 1

Record = tuple[bytes, int, int]
"""Leaf hash, size and place of a chunk."""


def pack_of(place: int) -> int:
    return place >> _OFFSET_BITS


def cost(size: int) -> int:
    """Bytes that a chunk of `size` takes in a pack."""
    return _HEAD.size + size


class Disk(Protocol):
    """Where packs are, by number. Raises OSError."""

    def numbers(self) -> list[int]: ...
    def size(self, number: int) -> int: ...
    def read(self, number: int, at: int, size: int) -> bytes: ...
    def write(self, number: int, at: int, data: bytes) -> None:
        """Makes the pack when it is not there."""
        ...

    def truncate(self, number: int, size: int) -> None: ...
    def remove(self, number: int) -> None: ...
    def sync(self, number: int) -> None: ...
    def sync_names(self) -> None: ...
    def close(self) -> None: ...


class FileDisk:
    """Packs beside a database: nexus.db has nexus-000001.pack and so on."""

    def __init__(self, database: Path) -> None:
        self._folder, self._stem = database.parent, f"{database.stem}-"
        self._files: dict[int, int] = {}

    def numbers(self) -> list[int]:
        names = [path.name for path in self._folder.glob("*.pack")]
        found = [name[len(self._stem) : -5] for name in names if name.startswith(self._stem)]
        return sorted(int(number) for number in found if number.isdecimal() and len(number) == 6)

    def _file(self, number: int) -> int:
        file = self._files.pop(number, None)
        if file is None:
            if len(self._files) >= _OPEN_FILES:
                os.close(self._files.pop(next(iter(self._files))))
            path = self._folder / f"{self._stem}{number:06}.pack"
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._files[number] = file  # the last used stands last
        return file

    def size(self, number: int) -> int:
        return os.fstat(self._file(number)).st_size

    def read(self, number: int, at: int, size: int) -> bytes:
        return os.pread(self._file(number), size, at)

    def write(self, number: int, at: int, data: bytes) -> None:
        file, rest = self._file(number), memoryview(data)
        while rest:
            done = os.pwrite(file, rest, at)
            at, rest = at + done, rest[done:]

    def truncate(self, number: int, size: int) -> None:
        os.ftruncate(self._file(number), size)

    def remove(self, number: int) -> None:
        with suppress(KeyError):
            os.close(self._files.pop(number))
        (self._folder / f"{self._stem}{number:06}.pack").unlink(missing_ok=True)

    def sync(self, number: int) -> None:
        os.fdatasync(self._file(number))

    def sync_names(self) -> None:
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def close(self) -> None:
        while self._files:
            os.close(self._files.popitem()[1])


class MemoryDisk:
    """Packs of a store in memory."""

    def __init__(self) -> None:
        self._packs: dict[int, bytearray] = {}

    def numbers(self) -> list[int]:
        return sorted(self._packs)

    def size(self, number: int) -> int:
        return len(self._packs[number])

    def read(self, number: int, at: int, size: int) -> bytes:
        return bytes(self._packs[number][at : at + size])

    def write(self, number: int, at: int, data: bytes) -> None:
        self._packs.setdefault(number, bytearray())[at : at + len(data)] = data

    def truncate(self, number: int, size: int) -> None:
        del self._packs[number][size:]

    def remove(self, number: int) -> None:
        self._packs.pop(number, None)

    def sync(self, number: int) -> None: ...
    def sync_names(self) -> None: ...
    def close(self) -> None: ...


class Packs:
    """All packs of one store. Methods raise OSError when the disk will not."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.sizes: dict[int, int] = {}
        """Bytes, by pack."""
        self.current = 0
        """The pack that is written to, 0 for none."""
        self._last = 0
        self._entries = bytearray()
        """The current pack's footer, as far as it is known."""
        self._end = self._flushed = 0
        """Where its next record will be, and where the first one is that stands in the buffer."""
        self._buffer: list[bytes] = []
        self._unsynced: set[int] = set()
        self._new_names = False

    @property
    def dirty(self) -> bool:
        return bool(self._buffer or self._unsynced)

    # --- opening --------------------------------------------------------------------------------
    def load(self) -> Iterator[list[Record]]:
        """Yield what is in each pack, later ones last, and make ready to go on with the last pack."""
        for number in self._disk.numbers():
            if self.current:  # a power cut came before the footer of the one before was whole
                self._seal()
            self._last = number
            records = self._sealed(number)
            if records is None:
                records = self._scan(number)
                if not records:
                    self._disk.remove(number)
                    continue
                self._resume(number, records)
            self.sizes[number] = self._disk.size(number)
            yield records
        self.sync()

    def records(self, number: int) -> list[Record]:
        """What is in a pack that is not the current one."""
        sealed = self._sealed(number)
        return self._scan(number) if sealed is None else sealed

    def _sealed(self, number: int) -> list[Record] | None:
        """The records of a pack according to its footer; None when it has none that is sound."""
        header = self._disk.read(number, 0, _HEADER.size)
        if len(header) < _HEADER.size:
            return None
        magic, count = _HEADER.unpack(header)
        size = _ENTRY.size * count
        at = self._disk.size(number) - size - HASH_SIZE
        if magic != _MAGIC or count == 0 or at < _HEADER.size:
            return None
        footer = self._disk.read(number, at, size + HASH_SIZE)
        if blake3(footer[:size]).digest() != footer[size:]:
            return None
        pack = number << _OFFSET_BITS
        return [(leaf, length, pack | at) for at, length, leaf in _ENTRY.iter_unpack(footer[:size])]

    def _scan(self, number: int) -> list[Record]:
        """Every sound record, looking for the next one where something else is."""
        data = self._disk.read(number, 0, self._disk.size(number))
        records, at, lost = [], _HEADER.size, 0
        while at + _HEAD.size < len(data) and lost < 2 * _RECORD_MAX:
            size, leaf = _HEAD.unpack_from(data, at)
            chunk = data[at + _HEAD.size : at + _HEAD.size + size]
            if 0 < size <= CHUNK_SIZE and len(chunk) == size and leaf_hash(chunk) == leaf:
                records.append((leaf, size, number << _OFFSET_BITS | at))
                at, lost = at + _HEAD.size + size, 0
            else:
                at, lost = at + 1, lost + 1
        return records

    def _resume(self, number: int, records: list[Record]) -> None:
        """Go on writing after the last of a pack's records."""
        self.current, self._entries, self._end = number, bytearray(), _HEADER.size
        for leaf, size, place in records:
            at = place & _OFFSET
            self._entries += _ENTRY.pack(at, size, leaf)
            self._end = at + cost(size)
        self._flushed = self._end
        if self._disk.size(number) > self._end:
            self._disk.truncate(number, self._end)
            self._unsynced.add(number)

    # --- reading and writing --------------------------------------------------------------------
    def append(self, leaf: bytes, chunk: bytes) -> int:
        """Add a chunk, durable after the next `sync`; returns its place."""
        if self.current and self._end + cost(len(chunk)) > PACK_BYTES:
            self._seal()
        if not self.current:
            self._last = self.current = self._last + 1
            self.sizes[self.current] = 0
            self._entries = bytearray()
            self._buffer, self._flushed, self._end = [_HEADER.pack(_MAGIC, 0)], 0, _HEADER.size
            self._new_names = True
        at = self._end
        self._buffer += (_HEAD.pack(len(chunk), leaf), chunk)
        self._entries += _ENTRY.pack(at, len(chunk), leaf)
        self._end += cost(len(chunk))
        self.sizes[self.current] += cost(len(chunk))
        place = self.current << _OFFSET_BITS | at
        if self._end - self._flushed >= _FLUSH_BYTES:
            self.flush()
        return place

    def read(self, place: int, size: int) -> bytes:
        """Return the chunk at a place, unchecked; shorter or empty when the pack has lost it."""
        number, at = pack_of(place), place & _OFFSET
        if number == self.current and at >= self._flushed:
            self.flush()
        return self._disk.read(number, at + _HEAD.size, size) if number in self.sizes else b""

    def flush(self) -> None:
        """Hand everything to the system, without waiting for the disk."""
        if self._buffer:
            self._unsynced.add(self.current)
            self._disk.write(self.current, self._flushed, b"".join(self._buffer))
            self._buffer, self._flushed = [], self._end

    def _seal(self) -> None:
        self.flush()
        if self._entries:
            footer = bytes(self._entries)
            self._unsynced.add(self.current)
            self._disk.write(self.current, self._end, footer + blake3(footer).digest())
            self._disk.write(self.current, 0, _HEADER.pack(_MAGIC, len(footer) // _ENTRY.size))
        self.current = 0

    def sync(self) -> None:
        """Make all that was appended durable."""
        self.flush()
        for number in sorted(self._unsynced):
            self._disk.sync(number)
        if self._new_names:
            self._disk.sync_names()
        self._unsynced.clear()
        self._new_names = False

    def discard(self) -> None:
        """After an error: nothing that was appended since the last `sync` is asked for again."""
        # What became of a pack whose sync failed, nobody knows: write to it no more. It has no footer,
        # so what is sound in it is found when it is opened again.
        self._buffer, self.current = [], 0
        self._unsynced.clear()

    def remove(self, number: int) -> None:
        """Delete a pack, of which nothing is asked for again."""
        self._disk.remove(number)
        del self.sizes[number]
        self._unsynced.discard(number)
        if number == self.current:
            self._buffer, self.current = [], 0

    def close(self) -> None:
        self._disk.close()
