"""The identity file: an identity to bytes and back, plain or under a passphrase (N1)."""

from dataclasses import replace

from nacl.bindings import crypto_pwhash_alg, crypto_pwhash_ALG_ARGON2ID13, crypto_pwhash_SALTBYTES
from nacl.exceptions import CryptoError

from nexus_node.base.errors import IdentityError, InputError, StoreCorrupt
from nexus_node.base.limits import MIB
from nexus_node.base.rng import Rng
from nexus_node.crypto.identity import SEED_SIZE, Identity
from nexus_node.crypto.keyfile_format import KeyFile, SealedSeed, damaged, parse_keyfile
from nexus_node.crypto.vault import VAULT_OVERHEAD, Vault

_PASSES = 3
_MEMORY = 64 * MIB
"""The choice of RFC 9106 section 4 where memory is scarce, on the one lane that libsodium has."""


def dump_identity(identity: Identity, passphrase: bytes | None, rng: Rng) -> bytes:
    """The identity file's bytes. Without a passphrase the seed stands in it in clear.

    Raises InputError for an empty passphrase.
    """
    if passphrase is None:
        return KeyFile(identity.node_id, identity.seed).encode()
    if not passphrase:
        raise InputError("the passphrase is empty; choose one, or ask for none at all")
    sealing = SealedSeed(_PASSES, _MEMORY, rng.random_bytes(crypto_pwhash_SALTBYTES))
    keyfile = KeyFile(identity.node_id, sealing)
    sealed = _vault(passphrase, sealing).seal(identity.seed, rng, keyfile.associated())
    return replace(keyfile, seed=replace(sealing, sealed=sealed)).encode()


def load_identity(data: bytes, passphrase: bytes | None) -> Identity:
    """The identity in a file's bytes; the passphrase of a plain file is not looked at.

    Raises IdentityError with words: passphrase needed, wrong passphrase, damaged file, newer version.
    """
    keyfile = parse_keyfile(data)
    seed = keyfile.seed
    if isinstance(seed, SealedSeed):
        if passphrase is None:
            raise IdentityError("the identity file is sealed; give its passphrase with --passphrase-file")
        if len(seed.salt) != crypto_pwhash_SALTBYTES or len(seed.sealed) != VAULT_OVERHEAD + SEED_SIZE:
            raise damaged()
        try:
            seed = _vault(passphrase, seed).open(seed.sealed, keyfile.associated())
        except StoreCorrupt:
            raise IdentityError("the passphrase does not open the identity file; try again") from None
    if len(seed) != SEED_SIZE:
        raise damaged()
    identity = Identity.from_seed(seed)
    if identity.node_id != keyfile.node_id:
        raise IdentityError(
            "the seed in the identity file belongs to another node id; restore the file from your backup"
        )
    return identity


def _vault(passphrase: bytes, sealing: SealedSeed) -> Vault:
    try:
        key = crypto_pwhash_alg(
            32, passphrase, sealing.salt, sealing.passes, sealing.memory, crypto_pwhash_ALG_ARGON2ID13
        )
    except CryptoError:
        raise IdentityError(
            f"trying the passphrase needs {sealing.memory // MIB} MiB of memory, which this machine cannot"
            " spare now; stop other programs and try again"
        ) from None
    return Vault(key)
