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
from nexus_node.wire.dataobject import KIND_BLOB, KIND_VERSION, ObjectHeader, chunks_of
from nexus_node.wire.mutable import Record

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
    node: Node, path: Path, *, min_bandwidth: int, ttl_s: int | None, label: str | None = None
) -> tuple[StoredObject, Record | None]:
    """Store a file as a blob or, with `label`, as a new version of this node's mutable object of that name,
    whose record comes with it. Raises InputError and StoreFull; then nothing of it is kept."""
    kind, record = KIND_BLOB if label is None else KIND_VERSION, None
    putting = await lay_down(node, path, kind, _plain, min_bandwidth=min_bandwidth, ttl_s=ttl_s)
    done = False
    try:
        with node.core.store.atomic():
            stored = putting.finish()
            if label is not None:
                record = node.core.mutables.publish_stored(label, putting.header, now=node.now(), ttl_s=ttl_s)
        done = True
    finally:
        if not done:
            putting.drop()
        node.pump.after()  # the timer may be due earlier now
    return stored, record


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
