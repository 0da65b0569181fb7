"""`--trace`: every frame on the air and on wires as a line of JSON, for jq, grep and the like
(docs/simulator.md)."""

import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from nexus_node.base.errors import BadWire
from nexus_node.wire.frames import SealedFrame, parse_frame_untrusted
from nexus_sim.air import OnAir
from nexus_sim.wires import OnWire


class TraceFile:
    """Writes frames in the order in which they ended."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self._file = path.open("w", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def heard(self, packet: OnAir, names: dict[int, str]) -> None:
        """A packet on the air has ended."""
        heard = {
            names[one.receiver]: [one.fate.name.lower(), round(one.rssi_dbm, 1), round(one.snr_db, 1)]
            for one in packet.outcomes
        }
        self._write(packet, names[packet.sender], {"heard": heard})

    def carried(self, packet: OnWire) -> None:
        """A frame on a wire is there, or lost."""
        self._write(packet, packet.sender, {"to": packet.receiver, "arrived": packet.arrived})

    def _write(self, packet: OnAir | OnWire, sender: str, became: dict[str, Any]) -> None:
        row = {
            "begin_s": round(packet.begin, 6),
            "end_s": round(packet.end, 6),
            "from": sender,
            "kind": kind_of(packet.frame),
            "bytes": len(packet.frame),
            **became,
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
