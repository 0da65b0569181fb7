"""The identity file's fields, bytes to values and back; without PyNaCl, for the command line (N1).

JSON, version 1: `version`, `node_id`, `address`, then `seed`, or `kdf` and `sealed_seed`; and `checksum`,
by which a damaged file is told from a wrong passphrase. Bytes are lower-case hex.
"""

import json
from dataclasses import dataclass, field
from hashlib import blake2b

from nexus_node.base.errors import IdentityError
from nexus_node.base.ids import NODE_ID_SIZE, NodeId
from nexus_node.base.limits import ARGON2_MEMORY_MAX, ARGON2_PASSES_MAX, KEYFILE_MAX
from nexus_node.crypto.address import address_of

_VERSION = 1
_KDF = "argon2id"


@dataclass(frozen=True, slots=True)
class SealedSeed:
    """A seed under a passphrase: Argon2id's passes, memory in bytes and salt, and what they seal."""

    passes: int
    memory: int
    salt: bytes
    sealed: bytes = b""


@dataclass(frozen=True, slots=True)
class KeyFile:
    """An identity file's content; `seed` is the plain seed or the sealed one."""

    node_id: NodeId
    seed: bytes | SealedSeed = field(repr=False)

    def encode(self) -> bytes:
        """The file's text."""
        fields = self._public_fields()
        if isinstance(self.seed, SealedSeed):
            fields["sealed_seed"] = self.seed.sealed.hex()
        else:
            fields["seed"] = self.seed.hex()
        fields["checksum"] = blake2b(_canonical(fields), digest_size=8, person=b"nexus keyfile").hexdigest()
        return json.dumps(fields, indent=2).encode() + b"\n"

    def associated(self) -> bytes:
        """Everything but the seed and the checksum, canonically: what the sealed seed is bound to."""
        return _canonical(self._public_fields())

    def _public_fields(self) -> dict[str, object]:
        fields: dict[str, object] = {
            "version": _VERSION,
            "node_id": self.node_id.hex(),
            "address": address_of(self.node_id).hex(),
        }
        if isinstance(self.seed, SealedSeed):
            fields["kdf"] = {
                "name": _KDF,
                "passes": self.seed.passes,
                "memory": self.seed.memory,
                "salt": self.seed.salt.hex(),
            }
        return fields


def parse_keyfile(data: bytes) -> KeyFile:
    """Raises IdentityError with words for a damaged file, a newer one, or one asking for too much memory."""
    if len(data) > KEYFILE_MAX:
        raise damaged()
    try:
        fields = json.loads(data)
        version = fields["version"]
        if isinstance(version, int) and version > _VERSION:
            raise IdentityError(
                f"the identity file has version {version}, of a newer Nexus Node; update this one to use it"
            )
        keyfile = _parse_fields(fields)
        intact = json.loads(keyfile.encode()) == fields
    # Whatever shape the JSON has, one of these comes of a field that is missing or of another type.
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        raise damaged() from None
    if not intact:
        raise damaged()
    return keyfile


def public_part(data: bytes) -> tuple[NodeId, bool]:
    """The node id and whether the seed is under a passphrase. Raises IdentityError as `parse_keyfile`."""
    keyfile = parse_keyfile(data)
    return keyfile.node_id, isinstance(keyfile.seed, SealedSeed)


def damaged() -> IdentityError:
    """The error for a file that is not as it was written."""
    return IdentityError("the identity file is damaged; restore it from your backup")


def _parse_fields(fields: dict[str, str]) -> KeyFile:
    node_id = NodeId(bytes.fromhex(fields["node_id"]))
    if len(node_id) != NODE_ID_SIZE:
        raise damaged()
    if "seed" in fields:
        return KeyFile(node_id, bytes.fromhex(fields["seed"]))
    return KeyFile(node_id, _parse_kdf(fields["kdf"], bytes.fromhex(fields["sealed_seed"])))


def _parse_kdf(kdf: object, sealed: bytes) -> SealedSeed:
    if not isinstance(kdf, dict):
        raise damaged()
    passes, memory = kdf["passes"], kdf["memory"]
    if not (isinstance(passes, int) and isinstance(memory, int)):
        raise damaged()
    # A file from elsewhere must not exhaust the machine before the passphrase is even tried.
    if not (1 <= passes <= ARGON2_PASSES_MAX and 8192 <= memory <= ARGON2_MEMORY_MAX):
        raise IdentityError(
            f"the identity file asks for {passes} passes over {memory} bytes to try a passphrase, which is"
            " outside what is allowed; restore it from your backup"
        )
    return SealedSeed(passes, memory, bytes.fromhex(kdf["salt"]), sealed)


def _canonical(fields: dict[str, object]) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
