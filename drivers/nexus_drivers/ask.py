"""What is on this serial port? `nexus_firmware.probe` put to a real one, for `nexus doctor`."""

import trio

from nexus_drivers.serial_port import open_serial
from nexus_firmware.probe import KINDS, Probe
from nexus_node.base.errors import CarrierLost

_READ_SIZE = 4096
_SETTLE_S = 2.0
"""A board that resets when its port is opened is deaf for so long."""
_LONGEST_S = 12.0
"""A port that takes no bytes must not keep anyone waiting."""


async def ask_port(port: str, kinds: tuple[str, ...] = KINDS) -> Probe:
    """Ask until something answers or all is asked; some 8 seconds at most. No setting is changed.

    Raises `CarrierLost`, in a sentence with the cure, when the port cannot be opened, is in use or goes.
    """
    probe = Probe(trio.current_time(), kinds=kinds, settle=_SETTLE_S)
    baud = probe.baud
    async with await open_serial(port, baud) as stream:
        try:
            with trio.move_on_after(_LONGEST_S):
                while not probe.done:
                    if probe.baud != baud:
                        baud = probe.baud
                        stream.set_baud(baud)
                    while (line := probe.poll_send(trio.current_time())) is not None:
                        await stream.send_all(line)
                    with trio.move_on_at(probe.next_deadline() or trio.current_time()):
                        data = await stream.receive_some(_READ_SIZE)
                        if not data:
                            raise CarrierLost(f"{port} went away; plug the radio in again")
                        probe.receive(bytes(data))
                    probe.expire(trio.current_time())
                if probe.finding is not None and probe.finding.farewell:
                    await stream.send_all(probe.finding.farewell)
        except trio.BrokenResourceError as error:
            raise CarrierLost(f"{port} went away: {error}; plug the radio in again") from error
    return probe
