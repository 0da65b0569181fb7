"""REYAX RYLR998 (REYAX LoRa AT command guide; radio.md section 3.3)."""

import re
import struct

from nexus_firmware.emulate.air import Heard
from nexus_firmware.emulate.at_lines import LineModule

DATA_MAX = 240
BANDWIDTHS = {6: 62_500, 7: 125_000, 8: 250_000, 9: 500_000}
_HEADER = struct.Struct("<BBHHH")
"""What the module puts before the data, 8 bytes; the guide does not say in which form."""
_SEND = re.compile(r"AT\+SEND=(\d{1,5}),(\d{1,3}),(.*)", re.ASCII | re.DOTALL)
_SET = re.compile(r"AT\+([A-Z]+)=(.+)", re.ASCII)
_ASK = re.compile(r"AT\+([A-Z]+)\?", re.ASCII)


class Rylr998(LineModule):
    """Everything of the network, or to this module's address or 0, is heard."""

    kind = "rylr998"

    def reset(self, now: float) -> None:
        self.address, self.network, self.mode = 0, 18, 0
        self.frequency, self.spreading_factor, self.bandwidth, self.coding_rate = 915_000_000, 9, 125_000, 5
        self.preamble, self.power = 12, 22
        self._password = "00000000"

    def greet(self) -> None:
        self.say("+READY")

    def listening(self) -> bool:
        return self.mode != 1

    def receive(self, data: bytes, now: float) -> None:
        if self.mode == 1 and data:
            self.mode = 0
        super().receive(data, now)

    def _error(self, code: int) -> None:
        self.say(f"+ERR={code}")

    def command(self, line: str, now: float) -> None:
        if not line.startswith("AT"):
            self._error(2)
        elif line == "AT":
            self.say("+OK")
        elif found := _SEND.fullmatch(line):
            self._send(int(found[1]), int(found[2]), found[3], now)
        elif line == "AT+RESET":
            self.boot(now)
            self.say("+RESET")
        elif found := _ASK.fullmatch(line):
            self._ask(found[1])
        elif found := _SET.fullmatch(line):
            self._set(found[1], found[2])
        else:
            self._error(4)

    def _send(self, to: int, length: int, text: str, now: float) -> None:
        if self.sending:
            self._error(17)
        elif length > DATA_MAX:
            self._error(13)
        elif length != len(text):
            self._error(5)
        else:
            header = _HEADER.pack(self.network, len(text), to, self.address, 0)
            self.put_on_air(header + text.encode("latin-1"), now)

    def sent(self, now: float) -> None:
        self.say("+OK")

    def _ask(self, name: str) -> None:
        bandwidth = next(code for code, hertz in BANDWIDTHS.items() if hertz == self.bandwidth)
        values = {
            "ADDRESS": str(self.address),
            "NETWORKID": str(self.network),
            "BAND": str(self.frequency),
            "MODE": str(self.mode),
            "PARAMETER": f"{self.spreading_factor},{bandwidth},{self.coding_rate - 4},{self.preamble}",
            "CRFOP": str(self.power),
            "CPIN": self._password,
            "IPR": "115200",
            "VER": "RYLR998_REYAX_V1.2.2",
            "UID": "104737333437353600170029",
        }
        if name in values:
            self.say(f"+{name}={values[name]}")
        else:
            self._error(4)

    def _set(self, name: str, text: str) -> None:
        numbers = [int(one) if one.isdecimal() else -1 for one in text.split(",")]
        match name, numbers:
            case "ADDRESS", [value] if 0 <= value <= 65535:
                self.address = value
            case "NETWORKID", [value] if 0 <= value <= 18:
                self.network = value
            case "BAND", [value, *_] if value > 0:
                self.frequency = value
            case "MODE", [value, *_] if value in (0, 1, 2):
                self.mode = value
            case "PARAMETER", [sf, bandwidth, rate, preamble] if (
                5 <= sf <= 12 and bandwidth in BANDWIDTHS and 1 <= rate <= 4 and 4 <= preamble <= 24
            ):
                self.spreading_factor, self.bandwidth = sf, BANDWIDTHS[bandwidth]
                self.coding_rate, self.preamble = rate + 4, preamble
            case "CRFOP", [value] if 0 <= value <= 22:
                self.power = value
            case "CPIN", _:
                self._password = text
            case "IPR", [value] if value > 0:
                pass
            case _:
                self._error(4)
                return
        self.say("+OK")

    def hear(self, heard: Heard, now: float) -> None:
        if len(heard.payload) <= _HEADER.size:
            return
        network, length, to, sender, _ = _HEADER.unpack_from(heard.payload)
        body = heard.payload[_HEADER.size :]
        if network == self.network and to in (0, self.address) and length == len(body):
            text = body.decode("latin-1")
            self.say(f"+RCV={sender},{length},{text},{int(heard.rssi_dbm)},{int(heard.snr_db)}")
