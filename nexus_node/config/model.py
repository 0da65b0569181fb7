"""What an owner may set, with its defaults (docs/operate.md)."""

import getpass
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nexus_node.base.ids import NodeId


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """`quota_mb` bounds what the store holds, in units of 10^6 bytes."""

    quota_mb: int = 512


@dataclass(frozen=True, slots=True)
class RelayConfig:
    """Keeping others' messages while they are away (N10).

    `serve` is one of contacts, trusted, anyone: who may leave mail here, or have it kept here for them.
    `memory_only` keeps it off the disk (S2); `quota_mb` bounds it, in units of 10^6 bytes. From a neighbour
    that is not trusted one message is taken every `stranger_interval_s` seconds and `stranger_per_day` a
    day, from a trusted one `trusted_per_day`; from a verified one any number (S3).
    """

    enabled: bool = False
    serve: str = "contacts"
    memory_only: bool = False
    ttl_days: int = 30
    quota_mb: int = 256
    stranger_interval_s: int = 10
    stranger_per_day: int = 20
    trusted_per_day: int = 200


@dataclass(frozen=True, slots=True)
class MessagesConfig:
    """`read_receipts`: whether senders learn that their message was read."""

    read_receipts: bool = False


@dataclass(frozen=True, slots=True)
class LogConfig:
    """`level` is one of debug, info, warning, error."""

    level: str = "info"


@dataclass(frozen=True, slots=True)
class CarrierConfig:
    """One `[[carrier]]`: what the node itself takes, and in `table` what its driver's `from_config` gets.

    `bps` (bits per second), `mtu` (bytes) and `duty_cycle` (fraction of time) override what the driver
    knows; None leaves it. `pad` fills sealed frames up to a multiple of so many bytes (N3).
    """

    driver: str
    table: Mapping[str, Any] = field(default_factory=dict)
    label: str | None = None
    bps: int | None = None
    mtu: int | None = None
    duty_cycle: float | None = None
    pad: int = 0


def default_name() -> str:
    """What to call a node whose owner chose no name: the user's name, else the host's."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without an entry, as in containers
        user = "root"
    name = os.uname().nodename.partition(".")[0] if user == "root" else user
    return "".join(letter for letter in name if letter.isprintable()).strip()[:32] or "node"


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """A whole `config.toml`.

    `relays` keep this node's mail while it is away (N10), the preferred first: at most 4, each once.
    `path_policy` is one of cheapest, fastest, reliable, balanced, largest-mtu: how paths are scored (N4).
    """

    name: str = field(default_factory=default_name)
    relays: tuple[NodeId, ...] = ()
    path_policy: str = "balanced"
    store: StoreConfig = StoreConfig()
    relay: RelayConfig = RelayConfig()
    messages: MessagesConfig = MessagesConfig()
    log: LogConfig = LogConfig()
    carriers: tuple[CarrierConfig, ...] = ()
