"""The AUX pin of an E22, low while the module is busy, where its owner has wired it (radio.md section 3.2).

To an input of the port itself, such as CTS; or to a GPIO, which the kernel shows as a file that reads 0 or 1.
"""

from dataclasses import dataclass

import trio

from nexus_drivers.options import Options
from nexus_drivers.serial_port import MODEM_LINES, SerialStream
from nexus_node.base.errors import CarrierLost


@dataclass(frozen=True)
class AuxPin:
    """`place` is one of `MODEM_LINES`, or the path of a file."""

    place: str

    def busy(self, stream: trio.abc.Stream) -> bool:
        """Whether the pin is low. Raises `CarrierLost` in a sentence with the cure when nobody can tell."""
        if self.place in MODEM_LINES:
            # On TTL level an input counts as set while it is low.
            return isinstance(stream, SerialStream) and stream.modem_line(self.place)
        try:
            with open(self.place, "rb") as file:
                level = file.read(2).strip()
        except OSError as error:
            raise CarrierLost(
                f"the AUX pin cannot be read from {self.place}: {error.strerror}; export that GPIO as an"
                " input, let this account read it (group gpio), or leave aux out"
            ) from error
        if level not in (b"0", b"1"):
            raise CarrierLost(f"{self.place} reads neither 0 nor 1; name the value file of the GPIO as aux")
        return level == b"0"

    def __str__(self) -> str:
        return self.place.upper() if self.place in MODEM_LINES else self.place


def read_aux(options: Options) -> AuxPin | None:
    """From the key `aux`. Raises `ConfigError`."""
    place = options.text("aux")
    if place is None or place in MODEM_LINES or place.startswith("/"):
        return AuxPin(place) if place else None
    raise options.wrong(
        "aux",
        f"is no input; use one of {', '.join(MODEM_LINES)}, or a file such as /sys/class/gpio/gpio529/value",
    )
