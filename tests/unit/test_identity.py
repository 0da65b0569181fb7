"""Identities: addresses, signatures, the X25519 view and its inverse (N1)."""

import json
import random
import subprocess
import sys
from hashlib import blake2b
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.bindings import crypto_scalarmult_base

from nexus_node.base.errors import BadWire, StoreCorrupt
from nexus_node.base.ids import NodeId
from nexus_node.crypto.address import address_of
from nexus_node.crypto.identity import (
    Identity,
    agreement_key_of,
    node_id_of,
    node_id_of_static,
    sign_bit,
    static_key_of,
    verify,
)
from nexus_node.crypto.vault import VAULT_OVERHEAD, Vault

WYCHEPROOF = Path(__file__).resolve().parents[3] / "shared" / "vectors" / "wycheproof"
P = 2**255 - 19


class SeededRng:
    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def random_bytes(self, count: int, /) -> bytes:
        return self._random.randbytes(count)


IDENTITY = Identity.from_seed(bytes(range(32)))


def test_n1_address_is_truncated_blake2b_of_the_node_id() -> None:
    assert IDENTITY.address == blake2b(IDENTITY.node_id).digest()[:16] == address_of(IDENTITY.node_id)


def test_n1_addresses_need_no_cryptography_library() -> None:
    code = (
        "import sys, nexus_node.crypto.address, nexus_node.crypto.keyfile_format, nexus_node.wire.uri;"
        "sys.exit(any(name in sys.modules for name in ('nacl', 'cryptography')))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=30).returncode == 0


def test_n1_rfc8032_section_7_1() -> None:
    seed = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    identity = Identity.from_seed(seed)
    assert identity.node_id.hex() == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    signature = identity.sign(b"\x72")
    assert signature.hex() == (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert verify(identity.node_id, b"\x72", signature)


def test_n1_wycheproof_ed25519() -> None:
    path = WYCHEPROOF / "ed25519_test.json"
    if not path.exists():
        pytest.skip("the shared Wycheproof vectors are not beside this checkout")
    count = 0
    for group in json.loads(path.read_text())["testGroups"]:
        node_id = NodeId(bytes.fromhex(group["publicKey"]["pk"]))
        for case in group["tests"]:
            signature = bytes.fromhex(case["sig"])
            expected = case["result"] == "valid"
            assert verify(node_id, bytes.fromhex(case["msg"]), signature) == expected, case["tcId"]
            count += 1
    assert count > 140


@given(data=st.binary(max_size=300), at=st.integers(0, 511))
def test_n1_a_signature_holds_for_its_data_and_signer_only(data: bytes, at: int) -> None:
    signature = IDENTITY.sign(data)
    other = Identity.from_seed(bytes(32))
    assert verify(IDENTITY.node_id, data, signature)
    assert not verify(other.node_id, data, signature)
    assert not verify(IDENTITY.node_id, data + b"x", signature)
    altered = bytearray(signature)
    altered[at // 8] ^= 1 << at % 8
    assert not verify(IDENTITY.node_id, data, bytes(altered))


@pytest.mark.parametrize("size", [0, 31, 33, 63, 64, 65])
def test_malformed_signatures_and_ids_verify_as_false(size: int) -> None:
    assert not verify(IDENTITY.node_id, b"data", bytes(size))
    assert not verify(NodeId(bytes(size)), b"data", IDENTITY.sign(b"data"))


def test_data_moved_into_the_signature_does_not_verify() -> None:
    signature = IDENTITY.sign(b"data")
    assert not verify(IDENTITY.node_id, b"ta", signature + b"da")


def test_n1_the_agreement_key_is_the_signing_key_s_view() -> None:
    assert IDENTITY.agreement_public == agreement_key_of(IDENTITY.node_id)
    assert crypto_scalarmult_base(IDENTITY.agreement_secret) == IDENTITY.agreement_public


def test_n1_node_id_of_is_the_inverse_for_300_keys_and_both_signs() -> None:
    rng = SeededRng(1)
    signs = set()
    for _ in range(300):
        node_id = Identity.generate(rng).node_id
        view, sign = agreement_key_of(node_id), sign_bit(node_id)
        signs.add(sign)
        assert node_id_of(view, sign) == node_id
        negative = node_id_of(view, 1 - sign)
        assert negative[:-1] == node_id[:-1]
        assert agreement_key_of(negative) == view
        for key in (node_id, negative):
            assert node_id_of_static(static_key_of(key)) == key
        assert static_key_of(negative) != static_key_of(node_id)
    assert signs == {0, 1}


NO_NODE_IDS = {
    "empty": b"",
    "short": bytes(31),
    "long": IDENTITY.node_id + b"\0",
    "order 1": (1).to_bytes(32, "little"),
    "order 2": (P - 1).to_bytes(32, "little"),
    "order 4": bytes(32),
    "order 4, negative": (1 << 255).to_bytes(32, "little"),
    "order 8": bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    "y = p": P.to_bytes(32, "little"),
    "y = p + 1": (P + 1).to_bytes(32, "little"),
    "all ones": b"\xff" * 32,
    "not on the curve": (2).to_bytes(32, "little"),
}


@pytest.mark.parametrize("node_id", NO_NODE_IDS.values(), ids=NO_NODE_IDS.keys())
def test_n1_what_is_no_point_of_the_prime_order_group_is_refused(node_id: bytes) -> None:
    with pytest.raises(BadWire, match="bad_node_id"):
        agreement_key_of(NodeId(node_id))


@pytest.mark.parametrize("y", range(19))
@pytest.mark.parametrize("sign", [0, 1])
def test_n1_no_node_id_has_a_second_encoding(y: int, sign: int) -> None:
    with pytest.raises(BadWire, match="bad_node_id"):
        agreement_key_of(NodeId((y + P | sign << 255).to_bytes(32, "little")))


NO_VIEWS = {
    "empty": b"",
    "long": bytes(33),
    "u = 0, order 2": bytes(32),
    "u = 1, order 4": (1).to_bytes(32, "little"),
    "u = -1": (P - 1).to_bytes(32, "little"),
    "u = p": P.to_bytes(32, "little"),
    "on the twist": (2).to_bytes(32, "little"),
    "u + p": (9 + P).to_bytes(32, "little"),
    "top bit": (9 | 1 << 255).to_bytes(32, "little"),
}


@pytest.mark.parametrize("key", NO_VIEWS.values(), ids=NO_VIEWS.keys())
@pytest.mark.parametrize("sign", [0, 1])
def test_n1_what_is_no_view_of_a_node_id_is_refused(key: bytes, sign: int) -> None:
    assert agreement_key_of(node_id_of((9).to_bytes(32, "little"), sign)) == (9).to_bytes(32, "little")
    with pytest.raises(BadWire, match="bad_node_id"):
        node_id_of(key, sign)


@given(key=st.binary(max_size=40) | st.binary(min_size=32, max_size=32))
def test_any_static_key_gives_its_node_id_or_bad_wire(key: bytes) -> None:
    try:
        node_id = node_id_of_static(key)
    except BadWire:
        return
    assert static_key_of(node_id) == key


def test_repr_shows_the_address_only() -> None:
    assert repr(IDENTITY) == f"Identity({IDENTITY.address.hex()})"


def test_vault_round_trip_and_refusals() -> None:
    vault, rng = Vault(IDENTITY.vault_key()), SeededRng(2)
    sealed = vault.seal(b"a text", rng, b"row 1")
    assert len(sealed) == 6 + VAULT_OVERHEAD
    assert vault.open(sealed, b"row 1") == b"a text"
    assert vault.seal(b"a text", rng, b"row 1") != sealed
    other = Vault(Identity.from_seed(bytes(32)).vault_key())
    attempts = [(other, sealed, b"row 1"), (vault, sealed, b"row 2"), (vault, sealed, b"")]
    attempts += [(vault, sealed[:size], b"row 1") for size in range(len(sealed))]
    for bit in range(len(sealed) * 8):
        altered = bytearray(sealed)
        altered[bit // 8] ^= 1 << bit % 8
        attempts.append((vault, bytes(altered), b"row 1"))
    for opener, data, associated in attempts:
        with pytest.raises(StoreCorrupt, match="another identity"):
            opener.open(data, associated)


def test_vault_is_xchacha20_poly1305_by_wycheproof() -> None:
    path = WYCHEPROOF / "xchacha20_poly1305_test.json"
    if not path.exists():
        pytest.skip("the shared Wycheproof vectors are not beside this checkout")
    count = 0
    for group in json.loads(path.read_text())["testGroups"]:
        if group["ivSize"] != 192:
            continue
        for case in group["tests"]:
            key, nonce, aad, plain = (bytes.fromhex(case[k]) for k in ("key", "iv", "aad", "msg"))
            sealed = nonce + bytes.fromhex(case["ct"] + case["tag"])
            count += 1
            if case["result"] == "invalid":
                with pytest.raises(StoreCorrupt):
                    Vault(key).open(sealed, aad)
            else:
                assert Vault(key).open(sealed, aad) == plain
    assert count > 250
