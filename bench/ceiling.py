"""What the machine gives: one hop's cryptography, hashes, commits and round trips, with no node around.

Per message the sender makes an ephemeral key and one Diffie-Hellman, derives keys (three HKDF), seals the
envelope, names the object, seals its own copy, stores a row, and seals a link frame; the receiver does the
same the other way round, stores a row, and answers with a keyed hash; the sender marks its row. SQLite in
WAL mode with synchronous FULL; what is at hand shares a commit, and nothing is sent before its commit.
"""

import os
import select
import socket
import sqlite3
import statistics
import time
from hashlib import blake2b
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_encrypt,
    crypto_scalarmult,
    crypto_scalarmult_base,
)

from bench.peers import Peer
from bench.report import Figures, Section, Table, emit
from bench.workers import receive, worker

WINDOWS = (1, 16, 64, 256)
TEXT = b"x" * 100
_BATCHES = 4
"""The window is sent in that many batches, so that both processes have something to do."""
_NONCE = bytes(12)
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))
_VAULT_KEY = bytes(32)
_ADDRESS = bytes(16)
_LINK = ChaCha20Poly1305(bytes(32))
_SCALARS = bytes([1] * 32), bytes([2] * 32)
"""Static keys of sender and receiver; their shared secret is kept, as a node keeps it."""
_SHARED = crypto_scalarmult(_SCALARS[0], crypto_scalarmult_base(_SCALARS[1]))
_SCHEMA = """CREATE TABLE messages (
    seq INTEGER PRIMARY KEY, id BLOB NOT NULL, mark BLOB NOT NULL,
    state INTEGER NOT NULL, body BLOB NOT NULL, envelope BLOB NOT NULL) STRICT"""
_ONCE = "CREATE UNIQUE INDEX once ON messages (id)"
"""Only the receiver needs it."""
_INSERT = "INSERT INTO messages (id, mark, state, body, envelope) VALUES (?, ?, ?, ?, ?)"


def measure(window: int, seconds: float = 2.0) -> Figures:
    """Messages per second with `window` unanswered, p50 and p99 in ms from sealing to durable mark, CPU in
    microseconds per message."""
    with TemporaryDirectory() as folder, worker(_receiver, folder) as receiver:
        with worker(_sender, folder, receive(receiver), window, seconds) as sender:
            took, spans, sender_cpu = receive(sender)
            received, receiver_cpu = receive(receiver)
    return Figures(
        window=window,
        per_s=round(len(spans) / took),
        sender_us=round(1e6 * sender_cpu / len(spans)),
        receiver_us=round(1e6 * receiver_cpu / received),
        p50_ms=round(1000 * statistics.median(spans), 3),
        p99_ms=round(1000 * statistics.quantiles(spans, n=100)[98], 3),
    )


def run(peer: Peer | None) -> Section:
    """The ceiling at each window."""
    table = Table(["in flight", "/s", "p50 ms", "p99 ms", "CPU us, sender", "CPU us, receiver"])
    for window in WINDOWS:
        one = emit("ceiling", measure(window))
        table.add(*(one[key] for key in ("window", "per_s", "p50_ms", "p99_ms", "sender_us", "receiver_us")))
    words = "The bare loop of `bench/ceiling.py`: one hop between two processes, with no node around."
    return Section("The ceiling", words, [table])


def _open_store(path: Path) -> sqlite3.Connection:
    store = sqlite3.connect(path, isolation_level=None)
    for setting in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL"):
        store.execute(f"PRAGMA {setting}").fetchall()
    store.execute(_SCHEMA)
    return store


def _hmac(key: bytes, data: bytes) -> bytes:
    block = key.ljust(128, b"\0")
    return blake2b(block.translate(_OUTER) + blake2b(block.translate(_INNER) + data).digest()).digest()


def _hkdf(chain: bytes, material: bytes) -> tuple[bytes, bytes]:
    temporary = _hmac(chain, material)
    first = _hmac(temporary, b"\x01")
    return first, _hmac(temporary, first + b"\x02")


def _keys(ephemeral: bytes, shared: bytes) -> tuple[bytes, bytes, bytes]:
    """(envelope key, transcript hash, receipt) as a one-way Noise pattern derives them."""
    transcript = bytes(64)
    for part in (_ADDRESS, ephemeral, ephemeral, ephemeral):
        transcript = blake2b(transcript + part).digest()
    chain, _ = _hkdf(bytes(64), shared)
    chain, key = _hkdf(chain, _SHARED)
    _, answer = _hkdf(chain, b"")
    blake2b(b"read", key=answer, digest_size=16).digest()
    receipt = blake2b(b"delivered", key=answer, digest_size=16).digest()
    return key[:32], transcript, receipt


def _object_id(envelope: bytes) -> bytes:
    return blake3(b"\x01\x02" + blake3(b"\0" + _ADDRESS + envelope).digest()).digest()


def _own_copy(text: bytes, name: bytes) -> bytes:
    nonce = os.urandom(24)
    return nonce + crypto_aead_xchacha20poly1305_ietf_encrypt(text, name, nonce, _VAULT_KEY)


class _Framed:
    """Sealed frames with a length on a socket."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = connection
        self._sent = self._opened = 0
        self._rest = b""

    def send(self, bodies: list[bytes]) -> None:
        parts = []
        for body in bodies:
            head = (self._sent & 0xFFFF).to_bytes(2, "little")
            frame = head + _LINK.encrypt(b"\0\0\0\0" + self._sent.to_bytes(8, "little"), body, head)
            self._sent += 1
            parts += [len(frame).to_bytes(2, "little"), frame]
        self._connection.sendall(b"".join(parts))

    def receive(self) -> list[bytes]:
        """The frames of at least one read; none when the far end closed."""
        bodies: list[bytes] = []
        while not bodies:
            block = self._connection.recv(65536)
            if not block:
                return []
            data, at = self._rest + block, 0
            while len(data) - at >= 2 and len(data) - at - 2 >= (size := data[at] | data[at + 1] << 8):
                head, sealed = data[at + 2 : at + 4], data[at + 4 : at + 2 + size]
                at += 2 + size
                bodies.append(_LINK.decrypt(b"\0\0\0\0" + self._opened.to_bytes(8, "little"), sealed, head))
                self._opened += 1
            self._rest = data[at:]
        return bodies


def _sender(pipe: Connection, folder: str, port: int, window: int, seconds: float) -> None:
    store = _open_store(Path(folder, "sender.db"))
    connection = socket.create_connection(("127.0.0.1", port))
    framed = _Framed(connection)
    theirs = crypto_scalarmult_base(_SCALARS[1])
    begun: dict[bytes, tuple[float, int]] = {}
    spans: list[float] = []
    batch = max(1, window // _BATCHES)
    cpu = time.process_time()
    started = now = time.perf_counter()
    while now < started + seconds:
        must_wait = len(begun) == window
        receipts = framed.receive() if must_wait or select.select([connection], [], [], 0)[0] else []
        store.execute("BEGIN")
        marks = [blake2b(receipt, digest_size=16).digest() for receipt in receipts]
        answered = [begun.pop(mark) for mark in marks]
        for _, seq in answered:
            store.execute("UPDATE messages SET state = 50 WHERE seq = ?", (seq,))
        envelopes: list[bytes] = []
        while len(begun) < window and len(envelopes) < batch:
            begin = time.perf_counter()
            secret = os.urandom(32)
            ephemeral = crypto_scalarmult_base(secret)
            key, transcript, receipt = _keys(ephemeral, crypto_scalarmult(secret, theirs))
            envelope = ephemeral + ChaCha20Poly1305(key).encrypt(_NONCE, TEXT, transcript)
            name = _object_id(envelope)
            mark = blake2b(receipt, digest_size=16).digest()
            row = store.execute(_INSERT, (name, mark, 10, _own_copy(TEXT, name), envelope))
            begun[mark] = begin, row.lastrowid or 0
            envelopes.append(envelope)
        store.execute("COMMIT")
        now = time.perf_counter()
        spans += [now - begin for begin, _ in answered]
        if envelopes:
            framed.send(envelopes)
    cpu = time.process_time() - cpu
    connection.shutdown(socket.SHUT_WR)
    while framed.receive():
        pass
    pipe.send((now - started, spans, cpu))


def _receiver(pipe: Connection, folder: str) -> None:
    store = _open_store(Path(folder, "receiver.db"))
    store.execute(_ONCE)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        pipe.send(listener.getsockname()[1])
        framed = _Framed(listener.accept()[0])
    received, cpu = 0, time.process_time()
    while envelopes := framed.receive():
        store.execute("BEGIN")
        receipts = []
        for envelope in envelopes:
            ephemeral = envelope[:32]
            key, transcript, receipt = _keys(ephemeral, crypto_scalarmult(_SCALARS[1], ephemeral))
            text = ChaCha20Poly1305(key).decrypt(_NONCE, envelope[32:], transcript)
            name = _object_id(envelope)
            store.execute(_INSERT, (name, receipt, 0, _own_copy(text, name), b""))
            receipts.append(receipt)
        store.execute("COMMIT")
        framed.send(receipts)
        received += len(receipts)
    pipe.send((received, time.process_time() - cpu))
