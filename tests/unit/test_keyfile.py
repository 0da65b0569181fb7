"""The identity file: plain and sealed, damaged, hostile, newer (N1)."""

import json
import random
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_node.base.errors import IdentityError, InputError
from nexus_node.crypto.identity import Identity
from nexus_node.crypto.keyfile import dump_identity, load_identity
from nexus_node.crypto.keyfile_format import public_part


class SeededRng:
    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def random_bytes(self, count: int, /) -> bytes:
        return self._random.randbytes(count)


IDENTITY = Identity.generate(SeededRng(1))
PLAIN = dump_identity(IDENTITY, None, SeededRng(2))


@pytest.fixture(scope="module")
def sealed() -> bytes:
    return dump_identity(IDENTITY, b"correct horse", SeededRng(3))


def rewritten(data: bytes, **changes: object) -> bytes:
    """The file as somebody would write it who knows the format, its checksum made right again."""
    fields = {**json.loads(data), **changes}
    fields = {key: value for key, value in fields.items() if value is not None}
    del fields["checksum"]
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
    fields["checksum"] = blake2b(canonical, digest_size=8, person=b"nexus keyfile").hexdigest()
    return json.dumps(fields).encode()


def test_n1_plain_round_trip() -> None:
    loaded = load_identity(PLAIN, None)
    assert loaded.seed == IDENTITY.seed
    assert load_identity(PLAIN, b"not needed").node_id == IDENTITY.node_id
    assert public_part(PLAIN) == (IDENTITY.node_id, False)
    assert json.loads(PLAIN)["address"] == IDENTITY.address.hex()


def test_n1_sealed_round_trip(sealed: bytes) -> None:
    assert load_identity(sealed, b"correct horse").seed == IDENTITY.seed
    assert public_part(sealed) == (IDENTITY.node_id, True)
    assert IDENTITY.seed.hex().encode() not in sealed
    assert json.loads(sealed)["kdf"].items() >= {"name": "argon2id", "passes": 3, "memory": 64 << 20}.items()


def test_n1_equal_passphrases_make_different_files(sealed: bytes) -> None:
    again = json.loads(dump_identity(IDENTITY, b"correct horse", SeededRng(4)))
    assert again["kdf"]["salt"] != json.loads(sealed)["kdf"]["salt"]


def test_n1_each_failure_has_its_words(sealed: bytes) -> None:
    with pytest.raises(IdentityError, match="is sealed; give its passphrase"):
        load_identity(sealed, None)
    with pytest.raises(IdentityError, match="passphrase does not open"):
        load_identity(sealed, b"wrong horse")
    with pytest.raises(IdentityError, match="version 2, of a newer"):
        load_identity(rewritten(PLAIN, version=2), None)
    with pytest.raises(IdentityError, match="belongs to another node id"):
        load_identity(rewritten(PLAIN, seed="11" * 32), None)
    with pytest.raises(InputError, match="passphrase is empty"):
        dump_identity(IDENTITY, b"", SeededRng(5))


@pytest.mark.parametrize("kind", ["plain", "sealed"])
def test_n1_any_altered_character_is_damage_not_a_wrong_passphrase(kind: str, sealed: bytes) -> None:
    data = PLAIN if kind == "plain" else sealed
    values = json.loads(data)
    for at, byte in enumerate(data):
        for other in {byte ^ 1, ord("0"), ord("f")} - {byte}:
            altered = data[:at] + bytes((other,)) + data[at + 1 :]
            try:
                if json.loads(altered) == values:
                    continue  # only white space differs
            except ValueError:
                pass
            with pytest.raises(IdentityError, match=r"damaged|outside what is allowed|newer Nexus"):
                load_identity(altered, b"correct horse")


def test_n1_every_truncation_is_damage() -> None:
    for size in range(len(PLAIN) - 2):
        with pytest.raises(IdentityError, match="damaged"):
            load_identity(PLAIN[:size], None)


@pytest.mark.parametrize(
    "kdf",
    [
        {"memory": 64 << 30},
        {"memory": (256 << 20) + 1},
        {"memory": 8191},
        {"memory": -1},
        {"passes": 17},
        {"passes": 0},
        {"passes": 10**30},
    ],
    ids=str,
)
def test_n1_a_hostile_file_cannot_ask_for_the_machine(sealed: bytes, kdf: dict[str, int]) -> None:
    hostile = rewritten(sealed, kdf={**json.loads(sealed)["kdf"], **kdf})
    with pytest.raises(IdentityError, match="outside what is allowed"):
        load_identity(hostile, b"correct horse")


@pytest.mark.parametrize(
    "changes",
    [
        {"node_id": "00"},
        {"node_id": 7},
        {"node_id": None},
        {"address": "00" * 16},
        {"seed": "11"},
        {"seed": "zz" * 32},
        {"seed": []},
        {"seed": None},
        {"version": "1"},
        {"version": None},
        {"extra": 1},
    ],
    ids=str,
)
def test_n1_wrong_fields_of_a_plain_file_are_damage(changes: dict[str, object]) -> None:
    with pytest.raises(IdentityError, match="damaged"):
        load_identity(rewritten(PLAIN, **changes), None)


@pytest.mark.parametrize(
    "changes",
    [
        {"kdf": 1},
        {"kdf": None},
        {"kdf": {}},
        {"kdf": {"name": "argon2id", "passes": 3.0, "memory": 8192, "salt": "00" * 16}},
        {"kdf": {"name": "scrypt", "passes": 1, "memory": 8192, "salt": "00" * 16}},
        {"kdf": {"name": "argon2id", "passes": 1, "memory": 8192, "salt": "00"}},
        {"sealed_seed": "00"},
        {"sealed_seed": None},
    ],
    ids=str,
)
def test_n1_wrong_fields_of_a_sealed_file_are_damage(sealed: bytes, changes: dict[str, object]) -> None:
    with pytest.raises(IdentityError, match="damaged"):
        load_identity(rewritten(sealed, **changes), b"correct horse")


def test_n1_the_sealed_seed_is_bound_to_the_rest(sealed: bytes) -> None:
    other = Identity.generate(SeededRng(9))
    moved = rewritten(sealed, node_id=other.node_id.hex(), address=other.address.hex())
    with pytest.raises(IdentityError, match="does not open"):
        load_identity(moved, b"correct horse")


@given(
    data=st.binary(max_size=200)
    | st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5).map(
        lambda value: json.dumps(value).encode()
    )
)
def test_anything_at_all_is_an_identity_error(data: bytes) -> None:
    with pytest.raises(IdentityError, match="damaged"):
        public_part(data)


@pytest.mark.parametrize("data", [b"[" * 4096, b'{"a":' * 800, b"9" * 4096, bytes(5000), b"\xff", b"NaN"])
def test_absurd_json_is_damage(data: bytes) -> None:
    with pytest.raises(IdentityError, match="damaged"):
        public_part(data)
