"""A driver that dies never takes the node down: it is started again, and why is kept for `status`."""

import logging
from random import uniform

import trio

from nexus_node.base.errors import StoreError
from nexus_node.runtime.carrier import Slot

log = logging.getLogger(__name__)

PAUSE_MIN_S, PAUSE_MAX_S = 1.0, 60.0
_LIVED_S = 60.0
"""A driver that worked this long starts again with the shortest pause."""


async def supervise(slot: Slot) -> None:
    """Run a driver for ever. Only a failing store gets through, since then nothing can be promised."""
    pause = PAUSE_MIN_S
    while True:
        started = trio.current_time()
        try:
            await slot.driver.run(slot)
            why = "the driver ended by itself"
        except Exception as error:  # noqa: BLE001 - the one place where anything a driver does is survived
            why = reason_of(error)
        if trio.current_time() - started > _LIVED_S:
            pause = PAUSE_MIN_S
        slot.report("waiting", why)
        log.warning("%s: %s; next try in %.0f s", slot.label, why, pause)
        await trio.sleep(pause * uniform(0.8, 1.2))
        pause = min(2 * pause, PAUSE_MAX_S)


def reason_of(error: BaseException) -> str:
    """What to tell people of an error, also inside the groups nurseries raise. Re-raises a StoreError."""
    if isinstance(error, StoreError):
        raise error
    if isinstance(error, BaseExceptionGroup):
        reasons = [reason_of(one) for one in error.exceptions]
        return reasons[0]
    return str(error) or type(error).__name__
