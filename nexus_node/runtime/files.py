"""Verbs that move files: with messages, and as objects (N7, N9, docs/control.md)."""

import os
from base64 import b64encode
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import BinaryIO

import trio

from nexus_node.base.errors import BadWire, InputError, StoreCorrupt
from nexus_node.base.ids import ObjectId
from nexus_node.base.limits import ATTACHMENTS_MAX, CHUNK_SIZE, MIB
from nexus_node.base.states import State
from nexus_node.crypto.address import address_of
from nexus_node.crypto.filestream import KEY_SIZE, SEGMENT, open_file, plain_size, seal_parts
from nexus_node.crypto.merkle import FAN_OUT
from nexus_node.engine.attach import SealedFile, check_size, describe_file, preview_room
from nexus_node.engine.putting import Putting
from nexus_node.engine.unwanted import DECLINED
from nexus_node.ports.store import Expected, Incoming, Keep, StoredObject
from nexus_node.runtime.arguments import (
    BANDWIDTH_MAX,
    SECONDS_MAX,
    Json,
    UsageError,
    amount,
    argument,
    file_path,
    identifier,
    in_seconds,
)
from nexus_node.runtime.mutable import get_version, version
from nexus_node.runtime.node import Node
from nexus_node.runtime.putting import lay_down, open_regular, put_file, reason
from nexus_node.store.chunks import chunk_count
from nexus_node.store.files import sync_path
from nexus_node.wire.dataobject import KIND_BLOB, KIND_FILE, KIND_MESSAGE, KIND_VERSION
from nexus_node.wire.description import Description
from nexus_node.wire.pub import KIND_PUBLISHED
from nexus_node.wire.routing import PREFIX_SIZE

_KINDS = {
    KIND_BLOB: "blob",
    KIND_MESSAGE: "message",
    KIND_FILE: "file",
    KIND_VERSION: "mutable",
    KIND_PUBLISHED: "published",
}


# --- attached to messages ---------------------------------------------------------------------------
async def send_files(node: Node, args: Json) -> Json:
    """Send a text with files, which wait for a link as fast as each needs (N13)."""
    to, text = argument(args, "to", str), argument(args, "text", str)
    min_bandwidth = amount(args, "min_bandwidth", BANDWIDTH_MAX)
    paths = argument(args, "files", list)
    if not paths or not all(isinstance(path, str) and "\0" not in path for path in paths):
        raise UsageError("the argument 'files' is a list of paths")
    if len(paths) > ATTACHMENTS_MAX:
        raise InputError(f"a message takes {ATTACHMENTS_MAX} files, not {len(paths)}; send several messages")
    core, room = node.core, 0
    if core.groups.named(to) is None:  # before the files are read
        room = preview_room(core.delivery.ways_to(core.contacts.get(to).node_id)) // len(paths)
    laid: list[Putting] = []
    sent = False
    try:
        files = [await _seal(node, Path(path), min_bandwidth, room, laid) for path in paths]
        if core.groups.named(to) is not None:
            message_id, state = core.groups.send(to, text, node.now(), files=files), State.QUEUED
        else:
            row = core.send(to, text, files=files, now=node.now())
            message_id, state = row.id, row.state
        sent = True
    finally:
        for one in laid if not sent else ():
            one.drop()
    core.commit()
    node.pump.after()
    return {"id": message_id.hex(), "state": state.value}


async def _seal(
    node: Node, path: Path, min_bandwidth: int | None, room: int, laid: list[Putting]
) -> SealedFile:
    """Seal a file into the store, where it is kept from now on, or goes with `laid`."""
    # Only then: a node that is given no file spares the memory.
    media_type: str = import_module("mimetypes").guess_type(path.name)[0] or ""
    key = node.core.random_bytes(KEY_SIZE)
    preview = await _look(path, room if media_type.startswith("image/") else 0)
    putting = await lay_down(node, path, KIND_FILE, partial(_sealed, key))
    laid.append(putting)
    header = putting.header
    check_size(path.name, plain_size(header.size))
    described = describe_file(
        path.name, plain_size(header.size), header, media_type, key, min_bandwidth, preview
    )
    chunks = node.core.store.read_object(header.id) if header.size <= CHUNK_SIZE else ()
    return SealedFile(described, header, chunks)


def _sealed(key: bytes, file: BinaryIO) -> Iterator[bytes]:
    """A file's sealed form in parts of a megabyte, as it is stored."""
    block = bytearray()
    for part in seal_parts(key, iter(partial(file.read, SEGMENT), b"")):
        block += part
        if len(block) >= MIB:
            yield bytes(block[:MIB])
            del block[:MIB]
    if block:
        yield bytes(block)


async def _look(path: Path, room: int) -> bytes:
    """A preview of an image, if it is to have one. Raises InputError for what cannot be attached."""
    try:
        return await trio.to_thread.run_sync(_preview, path, room)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {reason(error)}") from error


def _preview(path: Path, room: int) -> bytes:
    with open_regular(path) as file:
        check_size(path.name, os.fstat(file.fileno()).st_size)
        if not room:
            return b""
        try:
            found: bytes = import_module("nexus_node.runtime.preview").make_preview(file, room)
        except ImportError:  # the library for it is not here
            return b""
    return found


def _shown(preview: bytes) -> str | None:
    """A preview as a data URL; None for what is no picture that browsers show."""
    webp = preview[:4] == b"RIFF" and preview[8:12] == b"WEBP"
    if not webp and preview[:3] != b"\xff\xd8\xff":
        return None
    return f"data:image/{'webp' if webp else 'jpeg'};base64,{b64encode(preview).decode()}"


async def attachments(node: Node, row: Incoming) -> list[Json]:
    """The files of a message in the inbox: how far each has come, and where it lies once it is here."""
    return [await _attached(node, one) for one in node.core.files_of(row)]


async def _attached(node: Node, file: Description) -> Json:
    object_id = file.object
    core = node.core
    expected = core.store.expected(object_id)
    stored = core.store.get_object(object_id)
    state, path, why = "waiting", None, None
    if expected and all(one.ended for one in expected):
        state = expected[0].ended
    elif any(one.arrived_ms is not None for one in expected):
        here = (stored is not None and stored.complete) or _place(node, file).exists()
        state = "complete" if here else "deleted"
    elif core.fetcher.progress(object_id) is not None:
        state = "receiving"
    if state == "complete":
        try:
            path = await _written(node, file)
            state = "complete" if path is not None or node.files is None else "damaged"
        except InputError as error:  # a full disk keeps nobody from reading what comes after
            why = str(error)
    have = stored.chunks_have if stored is not None else 0
    total = stored.chunks_total if stored is not None else 1
    return {
        "name": str(file.name),
        "size": file.size,
        "type": file.media_type,
        "object": object_id.hex(),
        "state": state,
        "path": str(path) if path is not None else None,
        "why": why,
        "needs_bps": file.min_bandwidth,
        "preview": _shown(file.preview),
        "bytes_done": file.size if state == "complete" or have == total else file.size * have // total,
        "eta_s": in_seconds(core.fetcher.left_s(object_id, node.now())),
    }


def _place(node: Node, file: Description) -> Path:
    """Where that file is to lie in the owner's folder."""
    return (node.files or Path()) / file.object.hex()[:16] / file.name


async def _written(node: Node, file: Description) -> Path | None:
    """Where that file lies, written now if it was not yet; None without a folder, or when it is damaged.
    Raises InputError when it cannot be written.

    Once it lies there the object of it is in the store for as long as nothing needs its room.
    """
    if node.files is None:
        return None
    path = _place(node, file)
    async with node.writing:
        if not path.exists():
            folder = path.parent
            beside = folder / ".unfinished"
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                with open(os.open(beside, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as out:
                    await _pour(open_file(file.key, _content(node, file.object)), out.write)
                await trio.to_thread.run_sync(sync_path, beside)
                beside.rename(path)
                await trio.to_thread.run_sync(sync_path, folder)
            except (_Unreadable, BadWire):
                return None
            except OSError as error:
                raise InputError(f"{path} cannot be written: {reason(error)}") from error
            finally:
                with suppress(OSError):
                    beside.unlink(missing_ok=True)
    stored = node.core.store.get_object(file.object)
    if stored is not None and stored.keep == Keep.OWNED:  # also when it ended before that was noted
        node.core.store.cache_object(file.object)
    return path


class _Unreadable(InputError):
    """An object of which not all can be read."""


def _content(node: Node, object_id: ObjectId) -> Iterator[bytes]:
    """An object's content chunk by chunk. Raises _Unreadable for what is damaged, or goes meanwhile."""
    try:
        yield from node.core.objects.read(object_id)
    except StoreCorrupt as error:
        raise _Unreadable(str(error)) from error
    except KeyError:
        words = "the object went while it was read, to make room or because its time is over"
        raise _Unreadable(f"{words}; put or fetch it again") from None


async def _look_through(node: Node, stored: StoredObject) -> None:
    """Find all that is damaged of an object, so that it is whole once it is put or fetched again."""
    for number in range(stored.chunks_total):
        with suppress(KeyError):
            node.core.store.read_chunk(stored.id, number)
        if number % FAN_OUT == 0:
            await trio.lowlevel.checkpoint()


async def _save(path: Path, parts: Iterator[bytes]) -> None:
    """Write a new file, all of it or nothing. Raises InputError."""
    try:
        with path.open("xb") as out:
            whole = False
            try:
                await _pour(parts, out.write)
                out.flush()
                whole = True
            finally:
                if not whole:
                    path.unlink(missing_ok=True)
    except BadWire:
        raise InputError("that file is damaged: it does not open with the key its message has") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be written: {reason(error)}") from error


async def _pour(parts: Iterator[bytes], write: Callable[[bytes], int]) -> None:
    """Write what comes in parts, a megabyte at a time, with the node going on in between."""
    block = bytearray()
    for part in parts:
        block += part
        if len(block) >= MIB:
            await trio.to_thread.run_sync(write, bytes(block))
            block.clear()
    await trio.to_thread.run_sync(write, bytes(block))


def decline(node: Node, args: Json) -> Json:
    """Do not fetch a file that a message has described; its sender is told."""
    text = argument(args, "object", str)
    try:
        prefix = bytes.fromhex(text)
    except ValueError:
        prefix = b""
    if not PREFIX_SIZE <= len(prefix) <= 32:
        raise InputError(f"{text!r} names no file: give 16 to 64 of the digits that nexus inbox shows")
    expected = node.core.unwanted.decline(prefix, node.now())
    senders = dict.fromkeys(address_of(one.sender).hex() for one in expected)
    return {"object": expected[0].object.hex(), "state": DECLINED, "from": list(senders)}


# --- objects ----------------------------------------------------------------------------------------
def _object(stored: StoredObject) -> Json:
    return {
        "object": stored.id.hex(),
        "kind": _KINDS.get(stored.kind, str(stored.kind)),
        "size": stored.size,
        "root": stored.root.hex(),
        "chunks_have": stored.chunks_have,
        "chunks_total": stored.chunks_total,
        "min_bandwidth": stored.min_bandwidth,
        "created_ms": stored.created_ms,
        "expires_ms": stored.expires_ms,
    }


async def put(node: Node, args: Json) -> Json:
    label = argument(args, "name", str, None)
    if label is not None:
        node.core.mutables.check(label, node.now())  # before the file is read
    ttl_s = amount(args, "ttl_s", SECONDS_MAX)
    min_bandwidth = amount(args, "min_bandwidth", BANDWIDTH_MAX) or 0
    stored, record = await put_file(
        node, file_path(args), min_bandwidth=min_bandwidth, ttl_s=ttl_s, label=label
    )
    return _object(stored) | (version(record) if record is not None else {})


async def get(node: Node, args: Json) -> Json:
    """Write an object's content to a new file; of a file that came with a message, opened; of a mutable
    object, that of its latest version."""
    core = node.core
    path = file_path(args)
    called: Json = {}
    if "name" in args:
        stored, called = await get_version(node, args)
    else:
        object_id = ObjectId(identifier(args, "object"))
        here = core.store.get_object(object_id)
        if here is None and (known := _written_before(node, object_id)) is not None:
            return await _copied(node, *known, path)
        stored = core.objects.get(object_id)
    if not stored.complete:
        raise InputError(
            f"only {stored.chunks_have} of {stored.chunks_total} parts of that object are here; "
            "wait for the others, or put or fetch it again"
        )
    parts = _content(node, stored.id)
    if stored.kind == KIND_FILE and (key := _key_of(node, stored.id)) is not None:
        parts = open_file(key, parts)
    try:
        await _save(path, parts)
    except _Unreadable:
        await _look_through(node, stored)
        raise
    return _object(stored) | called | {"path": str(path)}


def _written_before(node: Node, object_id: ObjectId) -> tuple[Expected, Description] | None:
    """A file that lies in the owner's folder, where it was written when it came."""
    for expected in node.core.store.expected(object_id) if node.files is not None else ():
        row = node.core.store.incoming(expected.message)
        for file in node.core.files_of(row) if row is not None else ():
            if file.object == object_id and _place(node, file).exists():
                return expected, file
    return None


async def _copied(node: Node, expected: Expected, file: Description, path: Path) -> Json:
    """A file whose object has made room, from the owner's folder."""
    place = _place(node, file)
    try:
        with place.open("rb") as there:
            await _save(path, iter(partial(there.read, MIB), b""))
    except OSError as error:
        raise InputError(f"{place} cannot be read: {reason(error)}") from error
    header = file.header
    chunks = chunk_count(header.size)
    stored = StoredObject(
        header.id,
        header.kind,
        header.size,
        header.root,
        expected.arrived_ms or 0,
        chunks_total=chunks,
        chunks_have=chunks,
    )
    return _object(stored) | {"path": str(path)}


def _key_of(node: Node, object_id: ObjectId) -> bytes | None:
    """The key of a file that came with a message: anybody can describe it with one that does not open it."""
    for expected in node.core.store.expected(object_id):
        row = node.core.store.incoming(expected.message)
        for file in node.core.files_of(row) if row is not None else ():
            try:
                if file.object == object_id:
                    next(open_file(file.key, _content(node, object_id)))
                    return file.key
            except BadWire:
                continue
    return None


def remove(node: Node, args: Json) -> Json:
    """Let go of an object that was put."""
    return _object(node.core.objects.remove(ObjectId(identifier(args, "object"))))


async def objects(node: Node, args: Json) -> AsyncGenerator[Json, None]:
    names = node.core.mutables.names()
    for stored in node.core.objects.all():
        record = names.get(stored.id)
        left = {"eta_s": in_seconds(node.core.fetcher.left_s(stored.id, node.now()))}
        yield _object(stored) | left | (version(record) if record is not None else {})
