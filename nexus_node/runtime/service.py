"""The node as a program: home, store, signals, exit codes."""

import logging
import signal
from collections.abc import Callable
from pathlib import Path

import trio

from nexus_node.base.errors import StoreCorrupt, StoreError
from nexus_node.config.model import NodeConfig
from nexus_node.crypto.identity import Identity
from nexus_node.runtime.control import open_control, serve_control
from nexus_node.runtime.home import locked
from nexus_node.runtime.logs import set_up_logs
from nexus_node.runtime.node import open_node
from nexus_node.runtime.registry import make_driver
from nexus_node.runtime.rng import OsRng
from nexus_node.store.sqlite import SqliteStore

log = logging.getLogger(__name__)

STORE_NAME = "nexus.db"
_MB = 1_000_000
_STORE_PAUSE_S = 5.0


def run_node(home: Path, config: NodeConfig, identity: Identity, on_ready: Callable[[], None]) -> int:
    """Run until SIGTERM or SIGINT; the exit code. Raises NexusError for what a person must mend first."""
    set_up_logs(config.log.level)
    with locked(home):
        return trio.run(_serve, home, config, identity, on_ready)


async def _serve(home: Path, config: NodeConfig, identity: Identity, on_ready: Callable[[], None]) -> int:
    drivers = [(make_driver(carrier), carrier) for carrier in config.carriers]
    first = True
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with open_control(home) as listener:
            while True:
                store = SqliteStore.open(home / STORE_NAME, config.store.quota_mb * _MB)
                if store.recovered:
                    log.warning("store: %s", store.recovered)
                try:
                    async with open_node(
                        identity,
                        store,
                        OsRng(),
                        drivers,
                        name=config.name,
                        read_receipts=config.messages.read_receipts,
                        recovered=store.recovered,
                    ) as node:
                        async with trio.open_nursery() as nursery:
                            nursery.start_soon(serve_control, node, listener)
                            if first:
                                first = False
                                on_ready()
                            async for _ in signals:
                                break
                            await node.leave()
                            nursery.cancel_scope.cancel()
                    return 0
                except* StoreError as group:
                    error = _first(group)
                    if isinstance(error, StoreCorrupt):
                        raise error from None
                    log.error("store: %s; starting again in %.0f s", error, _STORE_PAUSE_S)
                finally:
                    store.close()
                # All that was promised is on disk, so starting over from there is always right.
                await trio.sleep(_STORE_PAUSE_S)


def _first(group: BaseExceptionGroup[StoreError]) -> StoreError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if not isinstance(error, StoreError):
        raise error
    return error
