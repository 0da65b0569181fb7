"""The files of a home that the command line itself reads and writes: config.toml and identity.json."""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from nexus_node.base.errors import IdentityError, InputError
from nexus_node.base.limits import KEYFILE_MAX
from nexus_node.config import NodeConfig
from nexus_node.crypto.address import address_of
from nexus_node.crypto.keyfile_format import public_part
from nexus_node.wire.uri import make_uri

CONFIG, IDENTITY = "config.toml", "identity.json"


def command(home: Path) -> str:
    """How to call `nexus` on that home, for the cures in errors."""
    return f"nexus --home {shlex.quote(str(home))}"


def read_identity(home: Path) -> bytes:
    """The identity file's bytes. Raises `IdentityError` when there is none, or it is of no use."""
    path = home / IDENTITY
    try:
        with path.open("rb") as file:
            found = file.read(KEYFILE_MAX + 1)
    except FileNotFoundError:
        raise IdentityError(
            f"there is no identity in {home} yet; make one with: {command(home)} init"
        ) from None
    except OSError as error:
        raise IdentityError(f"{path} cannot be read ({error.strerror}); check whose it is") from error
    try:
        public_part(found)
    except IdentityError as error:
        raise IdentityError(f"{path}: {error}") from None
    return found


def describe(identity_file: bytes, config: NodeConfig) -> Mapping[str, str]:
    """What others may know of a node: name, address, node id, and contact link with its relays."""
    node_id, _ = public_part(identity_file)
    return {
        "name": config.name,
        "address": address_of(node_id).hex(),
        "node_id": node_id.hex(),
        "uri": make_uri(node_id, config.name, config.relays),
    }


def read_passphrase(path: Path) -> bytes:
    """The first line of a passphrase file, without its end. Raises `InputError` when it is empty."""
    with path.open("rb") as file:
        passphrase = file.readline().rstrip(b"\r\n")
    if not passphrase:
        raise InputError(f"the first line of {path} is empty; write the passphrase there")
    return passphrase


def make_home(home: Path) -> None:
    """Make the home with mode 0700, unless it is there. Parents get the usual mode."""
    home.parent.mkdir(parents=True, exist_ok=True)
    home.mkdir(mode=0o700, exist_ok=True)


def write_new(path: Path, content: bytes, mode: int) -> None:
    """Create a file whole and durable, or not at all. Raises `FileExistsError` rather than overwrite."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(file, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        # A link, unlike a rename, fails when the name is taken.
        os.link(beside, path)
    finally:
        beside.unlink()
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
