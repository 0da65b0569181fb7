"""`--trace`: every packet on the air as a line of JSON, for jq, grep and the like (docs/simulator.md)."""

import json
from pathlib import Path
from types import TracebackType
from typing import Self

from nexus_node.base.errors import BadWire
from nexus_node.wire.frames import SealedFrame, parse_frame_untrusted
from nexus_sim.air import OnAir


class TraceFile:
    """Writes packets in the order in which they ended."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self._file = path.open("w", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def __call__(self, packet: OnAir, names: dict[int, str]) -> None:
        row = {
            "begin_s": round(packet.begin, 6),
            "end_s": round(packet.end, 6),
            "from": names[packet.sender],
            "kind": kind_of(packet.frame),
            "bytes": len(packet.frame),
            "heard": {
                names[one.receiver]: [one.fate.name.lower(), round(one.rssi_dbm, 1), round(one.snr_db, 1)]
                for one in packet.outcomes
            },
            "frame": packet.frame.hex(),
        }
        self._file.write(json.dumps(row) + "\n")


def kind_of(frame: bytes) -> str:
    """What a frame is, as far as a listener can tell."""
    try:
        parsed = parse_frame_untrusted(frame)
    except BadWire:
        return "unknown"
    if isinstance(parsed, SealedFrame):
        return "broadcast" if parsed.broadcast else "sealed"
    return type(parsed).__name__.lower()
