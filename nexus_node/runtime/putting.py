"""A file into the store a megabyte at a time, with the node going on in between (N7)."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import trio

from nexus_node.base.errors import InputError
from nexus_node.base.limits import MIB, OBJECT_MAX
from nexus_node.crypto.merkle import leaf_hash, page_root, pages_over
from nexus_node.engine.putting import Page, Putting
from nexus_node.ports.store import StoredObject
from nexus_node.runtime.node import Node
from nexus_node.wire.dataobject import ObjectHeader, chunks_of

Form = Callable[[BinaryIO], Iterator[bytes]]
"""How the content of a file is stored, in parts of a megabyte: one at least, and the last may be shorter."""


def reason(error: OSError | ValueError) -> str:
    """What the system says, in words."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def open_regular(path: Path) -> BinaryIO:
    """Open a file to read it. Raises OSError, and ValueError for what is none."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ValueError("it is not a regular file")  # a pipe would be waited for without end
    return path.open("rb")


async def put_file(
    node: Node, path: Path, kind: int, *, min_bandwidth: int, ttl_s: int | None
) -> StoredObject:
    """Store a file as an object of that kind. Raises InputError and StoreFull; then nothing of it is kept."""
    putting = await lay_down(node, path, kind, _plain, min_bandwidth=min_bandwidth, ttl_s=ttl_s)
    stored = putting.finish()
    node.pump.after()  # the timer may be due earlier now
    return stored


async def lay_down(
    node: Node,
    path: Path,
    kind: int,
    form: Form,
    *,
    min_bandwidth: int = 0,
    ttl_s: int | None = None,
) -> Putting:
    """Bring a file into the store, all but the last word on how long it stays. It is read twice: its id
    stands before its chunks. Raises InputError and StoreFull; then nothing of it is kept."""
    try:
        header, pages = await trio.to_thread.run_sync(_measure, path, kind, form)
        putting = node.core.objects.begin(
            header, pages, now_ms=node.wall_ms(), min_bandwidth=min_bandwidth, ttl_s=ttl_s
        )
        whole = False
        try:
            while not putting.complete and putting.name():
                await trio.lowlevel.checkpoint()
            with open_regular(path) as file:
                await _fill(node, putting, form(file))
            putting.check()
            whole = True
        finally:
            if not whole:
                putting.drop()
            node.pump.after()
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {reason(error)}") from error
    return putting


async def _fill(node: Node, putting: Putting, blocks: Iterator[bytes]) -> None:
    first = 0
    while not putting.complete:
        block = await trio.to_thread.run_sync(next, blocks, None)
        if block is None:
            return
        chunks = chunks_of(block)
        putting.add(first, chunks)
        node.pump.after()
        first += len(chunks)


def _plain(file: BinaryIO) -> Iterator[bytes]:
    size, block = 0, b""
    while (block := file.read(MIB)) or not size:
        size += len(block)
        if size > OBJECT_MAX:
            raise InputError(f"the file is larger than the {OBJECT_MAX // MIB} MiB an object takes")
        yield block
        if not block:
            return


def _measure(path: Path, kind: int, form: Form) -> tuple[ObjectHeader, list[Page]]:
    """An object's header and the pages of its tree."""
    leaves, size = list[bytes](), 0
    with open_regular(path) as file:
        for block in form(file):
            size += len(block)
            leaves += map(leaf_hash, chunks_of(block))
    pages = list(pages_over(leaves))
    return ObjectHeader(kind, size, page_root(pages[-1][2]) if pages else leaves[0]), pages
