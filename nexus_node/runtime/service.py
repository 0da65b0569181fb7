"""The node as a program: home, store, signals, exit codes."""

import ctypes
import logging
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import trio

from nexus_node.base.errors import StoreCorrupt, StoreError, StoreUnavailable
from nexus_node.base.ids import NodeId
from nexus_node.config.model import NodeConfig, RelayConfig
from nexus_node.crypto.address import address_of
from nexus_node.crypto.identity import Identity
from nexus_node.engine.relay import RelayPolicy
from nexus_node.ports.store import Store
from nexus_node.proto.paths import Policy
from nexus_node.runtime.control import open_control, serve_control
from nexus_node.runtime.home import locked
from nexus_node.runtime.logs import set_up_logs
from nexus_node.runtime.node import open_node
from nexus_node.runtime.registry import make_driver
from nexus_node.runtime.rng import OsRng
from nexus_node.store.sqlite import SqliteStore
from nexus_node.wire.announce import Serve

log = logging.getLogger(__name__)

STORE_NAME = "nexus.db"
FILES_NAME = "files"
_MB = 1_000_000
_DAY_S = 24 * 3600
_STORE_PAUSE_S = 5.0
_META_OWNER = "owner"


def run_node(home: Path, config: NodeConfig, identity: Identity, on_ready: Callable[[], None]) -> int:
    """Run until SIGTERM or SIGINT; the exit code. Raises NexusError for what a person must mend first."""
    set_up_logs(config.log.level)
    with locked(home):
        return trio.run(_serve, home, config, identity, on_ready)


async def _serve(home: Path, config: NodeConfig, identity: Identity, on_ready: Callable[[], None]) -> int:
    drivers = [(make_driver(carrier), carrier) for carrier in config.carriers]
    ready = False

    async def run_once() -> None:
        nonlocal ready
        store = SqliteStore.open(home / STORE_NAME, config.store.quota_mb * _MB)
        try:
            if store.recovered:
                log.warning("store: %s", store.recovered)
            _claim(store, identity, home)
            async with (
                open_node(
                    identity,
                    store,
                    OsRng(),
                    drivers,
                    name=config.name,
                    read_receipts=config.messages.read_receipts,
                    relay=_policy(config.relay),
                    path_policy=Policy(config.path_policy),
                    relays=config.relays,
                    recovered=store.recovered,
                    files=home / FILES_NAME,
                ) as node,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(serve_control, node, listener)
                if not ready:
                    ready = True
                    _give_memory_back()
                    on_ready()
                await anext(signals)
                await node.leave()
                nursery.cancel_scope.cancel()
        finally:
            with suppress(StoreError):  # what it cannot commit now was promised to nobody
                store.close()

    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with open_control(home) as listener:
            while True:
                try:
                    await run_once()
                    return 0
                except* StoreError as group:
                    error = _first(group)
                    if not ready or isinstance(error, StoreCorrupt):
                        raise error from None
                    log.error("store: %s; starting again in %.0f s", error, _STORE_PAUSE_S)
                # All that was promised is on disk, so starting over from there is always right.
                with trio.move_on_after(_STORE_PAUSE_S):
                    await anext(signals)
                    return 0


def _claim(store: Store, identity: Identity, home: Path) -> None:
    """Make the store this identity's, whose key its texts are sealed under.

    Raises StoreUnavailable for one that is another's: nothing in it could be read, and what came now would be
    unreadable once the right identity is back.
    """
    owner = store.get_meta(_META_OWNER)
    if owner is None:
        store.set_meta(_META_OWNER, identity.node_id)
    elif owner != identity.node_id:
        raise StoreUnavailable(
            f"{home / STORE_NAME} belongs to the node {address_of(NodeId(owner)).hex()}, and the identity is "
            f"{identity.address.hex()}; put the right identity file back, or move the database away"
        )


def _give_memory_back() -> None:
    """Return to the system what only starting took, 0.7 MB; where the C library can (glibc)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _policy(config: RelayConfig) -> RelayPolicy:
    """What the owner lets this node keep for others."""
    return RelayPolicy(
        serve=Serve[config.serve.upper()] if config.enabled else Serve.NOBODY,
        memory_only=config.memory_only,
        ttl_s=config.ttl_days * _DAY_S,
        quota_bytes=config.quota_mb * _MB,
        interval_s=config.stranger_interval_s,
        per_day=(config.stranger_per_day, config.trusted_per_day),
    )


def _first(group: BaseExceptionGroup[StoreError]) -> StoreError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if not isinstance(error, StoreError):
        raise error
    return error
