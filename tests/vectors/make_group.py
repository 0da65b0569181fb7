"""Makes the golden vectors of docs/protocol/group.md from the page alone: imports nothing of this project.

    python tests/vectors/make_group.py [DIRECTORY]

Ed25519 and ChaCha20-Poly1305 come from `cryptography`; every input is fixed. What is common to all vectors
stands in `make_vectors.py`, beside this file. The fold here is written the slow way: sets of ancestors, and
the rules of the page one by one.
"""

import base64
import itertools
import json
import struct
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from make_vectors import ALICE, BOB, CAROL, HERE, Node, Vector, as_json, blake2b, packet, tlv, x25519

TIME = 1_767_225_600
CREATE, ADD, REMOVE, ROTATE, PROMOTE, DEMOTE, LEAVE = range(7)
ROTATION, MEMBERS, FULL = 1, 2, 3
DAVE = Node(bytes(range(64, 96)))
WHO = {"alice": ALICE, "bob": BOB, "carol": CAROL, "dave": DAVE}


def sign(who: Node, data: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(who.seed).sign(data)


def commitment(secret: bytes) -> bytes:
    return blake2b(secret, 16, person=b"nexus grp commit")


def secret_of(number: int) -> bytes:
    return blake2b(b"secret" + bytes((number,)), 32)


@dataclass
class Op:
    kind: int
    author: Node
    sequence: int
    parents: list["Op"]
    subject: Node | None
    permissions: int
    expires: int
    time: int
    group: bytes
    body: bytes = b""
    encoded: bytes = b""
    id: bytes = b""
    knows: set[bytes] = field(default_factory=set)


class Log:
    """Makes operations. `heads` are parents unless others are given."""

    def __init__(self, creator: Node, name: bytes, *, signed: bool = False) -> None:
        self.ops: list[Op] = []
        self.numbers = itertools.count()
        rest = creator.node_id + bytes((signed,)) + bytes(range(16)) + commitment(secret_of(0)) + name
        next(self.numbers)
        self.group = b""
        create = self._make(CREATE, creator, [], None, rest)
        self.group = create.id
        self.create = create

    def add(
        self,
        kind: int,
        author: Node,
        subject: Node | None = None,
        *,
        on: list[Op] | None = None,
        permissions: int = FULL,
        expires: int = 0,
        time: int = TIME,
    ) -> Op:
        parents = on if on is not None else [self.ops[-1]]
        rest = b""
        if kind in (ADD, REMOVE, ROTATE):
            rest += commitment(secret_of(next(self.numbers)))
        if subject is not None:
            rest += subject.node_id if kind in (ADD, PROMOTE) else subject.address
        if kind == PROMOTE:
            rest += struct.pack("<BI", permissions, expires)
        return self._make(kind, author, parents, subject, rest, permissions, expires, time)

    def _make(
        self,
        kind: int,
        author: Node,
        parents: list[Op],
        subject: Node | None,
        rest: bytes,
        permissions: int = 0,
        expires: int = 0,
        time: int = TIME,
    ) -> Op:
        sequence = 1 + max((one.sequence for one in parents), default=-1)
        op = Op(kind, author, sequence, parents, subject, permissions, expires, time, self.group)
        head = struct.pack("<BII", kind | len(parents) << 4, sequence, time) + author.address[:8]
        op.body = head + b"".join(one.id for one in parents) + rest
        op.encoded = op.body + sign(author, b"NexusGroup/0" + self.group + op.body)
        op.id = blake2b(self.group + op.body, 16, person=b"nexus group op")
        for parent in parents:
            op.knows |= parent.knows | {parent.id}
        self.ops.append(op)
        return op


# --- the fold, as the page says it --------------------------------------------------------------------
def fold(log: Log) -> dict[str, Any]:
    named = {one.id: one for one in log.ops}
    order = sorted(
        log.ops,
        key=lambda op: (op.sequence, -int.from_bytes(op.author.address), -int.from_bytes(op.id)),
    )
    place = {op.id: at for at, op in enumerate(order)}
    creator = log.create.author
    times = {op.id: max([op.time] + [named[one].time for one in op.knows]) for op in log.ops}
    seats_lost: dict[bytes, int] = {}
    ends: dict[bytes, list[Op]] = {}
    certificates: list[Op] = []

    def rank(op: Op, needs: int, before: int | None = None) -> int | None:
        """The place of the certificate that an operation counts under, -1 for the creator."""
        if op.author is creator:
            left = [one for one in log.ops if one.kind == LEAVE and one.author is creator]
            return -1 if all(one is op or op.id in one.knows for one in left) else None
        for cert in certificates:
            if cert.subject is not op.author or (before is not None and place[cert.id] >= before):
                continue
            if cert.permissions < needs or cert.id not in op.knows:
                continue
            if cert.expires and times[op.id] > cert.expires:
                continue
            if cert.id in seats_lost and place[op.id] >= seats_lost[cert.id]:
                continue
            if all(end is op or op.id in end.knows for end in ends[cert.id]):
                return place[cert.id]
        return None

    def over(cert: Op, at: int) -> bool:
        return seats_lost.get(cert.id, at + 1) <= at or any(place[end.id] < at for end in ends[cert.id])

    for op in order:
        if op.kind != PROMOTE or op.subject is creator:
            continue
        mine = rank(op, FULL)
        if mine is None:
            continue
        here = place[op.id]
        seated = [one for one in certificates if not over(one, here)]
        own = [one for one in seated if one.subject is op.subject]
        if own and mine >= place[own[0].id]:
            continue
        others = [one for one in seated if one.subject is not op.subject]
        if len(others) >= 3:
            if mine >= place[others[-1].id]:
                continue
            seats_lost[others[-1].id] = here
        ends[op.id] = [
            one
            for one in order[here + 1 :]
            if (
                one.kind in (LEAVE, DEMOTE) and one.author is op.subject and one.subject in (None, op.subject)
            )
            or (
                one.kind in (DEMOTE, REMOVE, PROMOTE)
                and one.subject is op.subject
                and one.author is not op.subject
                and rank(one, FULL, here) is not None
            )
        ]
        certificates.append(op)

    members = {creator.address: creator}
    epochs, removals = [log.create], []
    sequence = 0
    needs = {ADD: MEMBERS, REMOVE: MEMBERS, ROTATE: ROTATION, DEMOTE: FULL}

    def beyond(op: Op) -> bool:
        """Whether its subject is nobody that its author may take a standing from."""
        if op.subject is op.author:
            return False
        if op.subject is creator:
            return True
        held = [
            place[one.id]
            for one in certificates
            if one.subject is op.subject and place[one.id] < place[op.id] and not over(one, place[op.id])
        ]
        mine = rank(op, FULL)
        return bool(held) and (mine is None or mine >= held[0])

    for op in order[1:]:
        if op.kind == LEAVE:
            if members.pop(op.author.address, None):
                sequence = op.sequence
            continue
        if op.kind == PROMOTE:
            if op in certificates:
                members[op.subject.address] = op.subject
                sequence = op.sequence
            continue
        if op.kind == REMOVE and op.subject is op.author:
            continue
        itself = op.kind == DEMOTE and op.subject is op.author
        if rank(op, ROTATION if itself else needs[op.kind]) is None:
            continue
        sequence = op.sequence
        if op.kind == ADD:
            members[op.subject.address] = op.subject
        elif op.kind == REMOVE:
            removals.append(op)
            if not beyond(op):
                members.pop(op.subject.address, None)
        if op.kind != DEMOTE:
            epochs.append(op)
    epoch = next(
        one
        for one in reversed(epochs)
        if all(x is one or x.id in one.knows or one.id in x.knows for x in removals)
    )
    held = [one for one in certificates if not over(one, len(order)) and one.subject.address in members]
    return {
        "members": sorted(one.node_id for one in members.values()),
        "co_admins": [one.subject.node_id for one in held],
        "permissions": [one.permissions for one in held],
        "admin_sequence": sequence,
        "epoch": epoch.id,
    }


def friends(*, admins: dict[str, int]) -> Log:
    """Alice's group with Bob and Carol, and co-admins among them."""
    log = Log(ALICE, b"friends")
    log.add(ADD, ALICE, BOB)
    log.add(ADD, ALICE, CAROL)
    for name, permissions in admins.items():
        log.add(PROMOTE, ALICE, WHO[name], permissions=permissions)
    return log


def folds() -> list[Vector]:
    both = {"bob": FULL, "carol": FULL}
    plain = friends(admins={"bob": MEMBERS})

    tie = friends(admins=both)
    top = tie.ops[-1]
    tie.add(ROTATE, BOB, on=[top])
    tie.add(ROTATE, CAROL, on=[top])

    beside = friends(admins=both)
    beside.add(ADD, ALICE, DAVE)
    top = beside.ops[-1]
    beside.add(REMOVE, BOB, DAVE, on=[top])
    beside.add(ROTATE, CAROL, on=[top])
    beside.add(ROTATE, CAROL)

    demoted = friends(admins=both)
    top = demoted.ops[-1]
    demoted.add(DEMOTE, ALICE, BOB, on=[top])
    demoted.add(ADD, BOB, DAVE, on=[top])
    demoted.add(PROMOTE, BOB, DAVE)
    demoted.add(REMOVE, DAVE, CAROL)

    expired = friends(admins={})
    expired.add(PROMOTE, ALICE, BOB, permissions=MEMBERS, expires=TIME + 60)
    expired.add(ADD, BOB, DAVE, time=TIME + 61)
    expired.add(REMOVE, BOB, CAROL, time=TIME)
    expired.add(LEAVE, CAROL)
    vectors: list[Vector] = []
    for number, log in enumerate((plain, tie, beside, demoted, expired), 1):
        vectors.append(
            {
                "id": f"group-fold-{number}",
                "group": log.group,
                "operations": [one.encoded for one in log.ops],
                "ids": [one.id for one in log.ops],
                **fold(log),
            }
        )
    return vectors


def operations() -> list[Vector]:
    log = Log(ALICE, "Früchte".encode(), signed=True)
    rotate = log.add(ROTATE, ALICE)
    made = {
        "create": log.create,
        "add": log.add(ADD, ALICE, BOB, on=[rotate, log.create]),
        "promote": log.add(PROMOTE, ALICE, BOB, permissions=MEMBERS, expires=TIME + 86_400),
        "rotate": rotate,
        "remove": log.add(REMOVE, ALICE, BOB),
        "demote": log.add(DEMOTE, ALICE, BOB),
        "leave": log.add(LEAVE, ALICE),
    }
    return [
        {
            "id": f"group-operation-{name}",
            "group": log.group,
            "author_seed": op.author.seed,
            "sequence": op.sequence,
            "time": op.time,
            "parents": [one.id for one in op.parents],
            "subject": op.subject.node_id if op.subject is not None else None,
            "permissions": op.permissions if op.kind == PROMOTE else 0,
            "expires": op.expires,
            "operation": op.encoded,
            "operation_id": op.id,
        }
        for name, op in made.items()
    ]


# --- keys and messages --------------------------------------------------------------------------------
def chain_key(secret: bytes, who: Node, number: int) -> bytes:
    key = blake2b(who.node_id, 32, key=secret, person=b"nexus grp chain")
    for _ in range(number):
        key = blake2b(b"\x02", 32, key=key, person=b"nexus grp key")
    return key


def message_key(secret: bytes, who: Node, number: int) -> bytes:
    return blake2b(b"\x01", 32, key=chain_key(secret, who, number), person=b"nexus grp key")


def hint(secret: bytes) -> bytes:
    return blake2b(b"", 2, key=secret, person=b"nexus grp hint")


def header_key(secret: bytes) -> bytes:
    return blake2b(b"", 32, key=secret, person=b"nexus grp header")


def message(
    secret: bytes, group: bytes, epoch: bytes, who: Node, place: int, n: int, body: bytes, sig: bool
) -> bytes:
    head = struct.pack("<BI", 4 if sig else 3, TIME) + hint(secret)
    header = bytes((place,)) + n.to_bytes(3, "little")
    associated = b"NexusGroupMessage/0" + group + epoch + head + header
    if sig:
        body = sign(who, associated + body) + body
    sealed = ChaCha20Poly1305(message_key(secret, who, n)).encrypt(bytes(12), body, associated)
    mask = blake2b(sealed[-16:], 4, key=header_key(secret), person=b"nexus grp mask")
    return head + bytes(a ^ b for a, b in zip(header, mask, strict=True)) + sealed


def messages() -> list[Vector]:
    secret, group, epoch = secret_of(1), bytes(range(16)), bytes(range(16, 32))
    members = sorted(one.node_id for one in (ALICE, BOB, CAROL))
    payload = b"\x00" + struct.pack("<H", 250) + b"hello, all"
    vectors: list[Vector] = [
        {
            "id": "group-keys-1",
            "secret": secret,
            "commitment": commitment(secret),
            "hint": hint(secret),
            "header_key": header_key(secret),
            "sender": BOB.node_id,
            "chain_keys": [chain_key(secret, BOB, number) for number in range(3)],
            "message_keys": [message_key(secret, BOB, number) for number in range(3)],
        }
    ]
    for name, number, signed in (("unsigned", 0, False), ("signed", 0, True), ("third", 2, False)):
        place = members.index(BOB.node_id)
        vectors.append(
            {
                "id": f"group-message-{name}",
                "secret": secret,
                "group": group,
                "epoch": epoch,
                "members": members,
                "sender_seed": BOB.seed,
                "counter": number,
                "signed": signed,
                "seconds": TIME,
                "payload": payload,
                "message": message(secret, group, epoch, BOB, place, number, payload, signed),
            }
        )
    return vectors


def items() -> list[Vector]:
    group = bytes(range(16))
    operation = b"an operation"
    key = bytes(range(8)) + secret_of(1)
    ask = group + b"\x01" + bytes(16) + bytes(8)
    operations_ = group + struct.pack("<H", len(operation)) + operation
    sealed = group + b"a message"
    join = group + bytes(range(16, 32))
    body = b"".join(
        bytes((kind,)) + struct.pack("<H", len(one)) + one
        for kind, one in ((2, key), (1, operations_), (99, b"later"), (4, ask), (3, sealed))
    )
    have_file = group + bytes(range(32)) + bytes(8)
    body += b"\x06" + struct.pack("<H", len(have_file)) + have_file
    lack = group + bytes(range(8)) + struct.pack("<H", 2) + b"\x02\x05\x00\x00\x02\x00\x01\x00"
    lack += bytes(8) + struct.pack("<H", 0)
    body += b"\x07" + struct.pack("<H", len(lack)) + lack
    return [
        {
            "id": "group-items-1",
            "group": group,
            "operation": operation,
            "epoch": bytes(range(8)),
            "secret": secret_of(1),
            "head": bytes(16),
            "asked": bytes(8),
            "message": b"a message",
            "token": bytes(range(16, 32)),
            "described": bytes(range(32)),
            "file": bytes(8),
            "lacking": [[2, 5], [2, 256]],
            "items": body + b"\x85" + join,
        }
    ]


def on_the_air() -> list[Vector]:
    """Alice broadcasts, asks who has it, and Bob answers."""
    group, prefixes = bytes(range(16)), blake2b(b"1", 8) + blake2b(b"2", 8)
    shared = x25519(ALICE.secret, BOB.agreement)
    proof = blake2b(BOB.address + prefixes, 16, key=shared, person=b"nexus grp have")
    return [
        {
            "id": "group-air-1",
            "group": group,
            "message": b"a message",
            "asker_seed": ALICE.seed,
            "answerer_seed": BOB.seed,
            "prefixes": [prefixes[:8], prefixes[8:]],
            "broadcast": packet(27, b"\x83" + group + b"a message"),
            "check": packet(28, prefixes),
            "have": packet(29, proof + prefixes),
        }
    ]


def over_hops() -> list[Vector]:
    """Alice writes, members pass it on; she asks those at places 1 and 9 of two messages; Bob, at place 1,
    has the second of them, and asks the neighbour for the first."""
    group, prefixes = bytes(range(16)), [blake2b(b"1", 8), blake2b(b"2", 8)]
    check = b"\x01" + bytes(range(8)) + b"\x02" + struct.pack("<H", 1 << 1 | 1 << 9) + b"".join(prefixes)
    check_id = blake2b(check, 4, person=b"nexus grp check")
    bits = struct.pack("<H", 2)
    shared = x25519(ALICE.secret, BOB.agreement)
    proof = blake2b(BOB.address + check_id + bits, 8, key=shared, person=b"nexus grp far")
    return [
        {
            "id": "group-far-1",
            "group": group,
            "message": b"a message",
            "asker_seed": ALICE.seed,
            "answerer_seed": BOB.seed,
            "round": 1,
            "epoch": bytes(range(8)),
            "asked": [1, 9],
            "prefixes": prefixes,
            "place": 1,
            "bits": 2,
            "passed": packet(30, b"\x83" + group + b"a message", hops=16),
            "check": packet(31, check, hops=16),
            "have": packet(32, check_id + b"\x01" + bits + proof),
            "want": packet(33, prefixes[0]),
        }
    ]


def link() -> list[Vector]:
    group, token, name = bytes(range(16)), bytes(range(16, 32)), "Berg"
    body = b"\x01" + ALICE.node_id + group + token + tlv(1, name.encode())
    data = body + blake2b(body, 4, person=b"nexus grp uri")
    uri = "nexus-group:" + base64.b32encode(data).decode().rstrip("=").lower()
    return [
        {
            "id": "group-link-1",
            "inviter": ALICE.node_id,
            "group": group,
            "token": token,
            "name": name,
            "uri": uri,
        }
    ]


def bad() -> list[Vector]:
    log = friends(admins={})
    create, add = log.ops[:2]
    other = Log(BOB, b"others")
    made: list[tuple[str, bytes]] = []
    twice = struct.pack("<BII", ROTATE | 2 << 4, 2, TIME) + ALICE.address[:8] + 2 * add.id + bytes(16)
    made.append(("same-parent", twice + sign(ALICE, b"NexusGroup/0" + log.group + twice)))
    made.append(("short", add.encoded[:-65] + add.encoded[-64:]))
    made.append(("kind", b"\x17" + add.encoded[1:]))
    made.append(("no-parents", b"\x03" + add.encoded[1:17] + bytes(16) + add.encoded[-64:]))
    for name, member in (
        ("member-no-key", bytes(31) + b"\x02"),
        ("member-foreign", b"not a key: meshtastic".ljust(28, b"\0") + bytes.fromhex("aabbccdd")),
    ):
        body = add.body[:-32] + member
        made.append((name, body + sign(ALICE, b"NexusGroup/0" + log.group + body)))
    vectors: list[Vector] = [
        {"id": f"group-bad-{name}", "operation": data, "refused": "bad_group_operation"}
        for name, data in made
    ]
    stranger = log.add(ROTATE, DAVE)
    skipping = log.add(ROTATE, ALICE, on=[add])
    body = skipping.body[:1] + struct.pack("<I", 9) + skipping.body[5:]
    for name, data in (
        ("stranger", stranger.encoded),
        ("sequence", body + sign(ALICE, b"NexusGroup/0" + log.group + body)),
        ("of-another-group", skipping.body + sign(ALICE, b"NexusGroup/0" + other.group + skipping.body)),
        ("signature", skipping.encoded[:-1] + bytes((skipping.encoded[-1] ^ 1,))),
    ):
        vectors.append(
            {
                "id": f"group-bad-{name}",
                "known": [one.encoded for one in log.ops[:3]],
                "operation": data,
                "refused": "forged_group_operation",
            }
        )
    vectors.append(
        {"id": "group-bad-items", "items": b"\x02\x28\x00" + bytes(40), "refused": "bad_group_items"}
    )
    assert create.sequence == 0
    return vectors


def group_vectors() -> list[Vector]:
    return [*operations(), *folds(), *messages(), *items(), *on_the_air(), *over_hops(), *link(), *bad()]


def main(directory: Path) -> None:
    written = json.dumps(as_json(group_vectors()), indent=1)
    (directory / "group.json").write_text(written + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
