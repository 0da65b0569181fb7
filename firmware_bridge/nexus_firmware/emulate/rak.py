"""RAK3172 with RUI3 firmware, in LoRa P2P mode (RUI3 AT command manual; radio.md section 3.4)."""

import re
from random import Random

from nexus_firmware.emulate.air import Heard
from nexus_firmware.emulate.at_lines import LineModule

PAYLOAD_MAX = 255
OFF, WITH_TX, CONTINUOUS, ONCE = 0, 65533, 65534, 65535
_P2P = re.compile(r"(\d{9}):(\d{1,2}):(\d{1,3}):([0-3]):(\d{1,5}):(\d{1,2})", re.ASCII)


class Rak3172(LineModule):
    """`lorawan`: it starts in LoRaWAN mode, as from the factory; `AT+NWM=0` then reboots it into P2P."""

    kind = "rak3172"

    def __init__(self, rng: Random, *, lorawan: bool = False) -> None:
        self._lorawan = lorawan
        super().__init__(rng)

    def reset(self, now: float) -> None:
        self._receive = OFF
        self._until: float | None = None
        self._p2p = (868_000_000, 7, 125, 0, 8, 14)

    def greet(self) -> None:
        self.say("RAKwireless RAK3172-E Example")
        self.say(f"Current Work Mode: {'LoRaWAN' if self._lorawan else 'LoRa P2P'}.")

    def listening(self) -> bool:
        return self._receive != OFF and not self.sending

    def _status(self, text: str) -> None:
        self.tell(b"\r\n" + text.encode("ascii") + b"\r\n")

    def command(self, line: str, now: float) -> None:
        name, equals, value = line.partition("=")
        name = name.upper()
        if name == "AT" and not equals:
            self._status("OK")
        elif name == "ATZ":
            self.boot(now)
        elif name == "AT+VER" and value == "?":
            self.say("AT+VER=RUI_4.1.0_RAK3172-E")
            self._status("OK")
        elif name == "AT+NWM":
            self._network_mode(value, now)
        elif name in ("AT+P2P", "AT+PSEND", "AT+PRECV"):
            if self._lorawan:
                self._status("AT_MODE_NO_SUPPORT")
            else:
                self._p2p_command(name, value, now)
        else:
            self._status("AT_COMMAND_NOT_FOUND" if name.startswith("AT") else "AT_ERROR")

    def _network_mode(self, value: str, now: float) -> None:
        if value == "?":
            self.say(f"AT+NWM={int(self._lorawan)}")
            self._status("OK")
        elif value in ("0", "1"):
            changed = self._lorawan != (value == "1")
            self._lorawan = value == "1"
            if changed:
                self.boot(now)
            self._status("OK")
        else:
            self._status("AT_PARAM_ERROR")

    def _p2p_command(self, name: str, value: str, now: float) -> None:
        if name == "AT+P2P":
            self._configure(value)
        elif name == "AT+PRECV":
            self._set_receive(value, now)
        elif self.sending or self._receive not in (OFF, WITH_TX):
            self._status("AT_BUSY_ERROR")
        elif not re.fullmatch(r"([0-9A-Fa-f]{2}){1,255}", value, re.ASCII):
            self._status("AT_PARAM_ERROR")
        else:
            self.put_on_air(bytes.fromhex(value), now)
            self._status("OK")

    def _configure(self, value: str) -> None:
        if value == "?":
            self.say("AT+P2P=" + ":".join(map(str, self._p2p)))
            self._status("OK")
            return
        found = _P2P.fullmatch(value)
        numbers = tuple(int(one) for one in found.groups()) if found else ()
        if not numbers or not 5 <= numbers[1] <= 12 or numbers[2] not in (125, 250, 500) or numbers[5] > 22:
            self._status("AT_PARAM_ERROR")
        elif self._receive != OFF:
            self._status("AT_BUSY_ERROR")
        else:
            frequency, spreading_factor, bandwidth, rate, preamble, power = numbers
            self._p2p = (frequency, spreading_factor, bandwidth, rate, preamble, power)
            self.frequency, self.spreading_factor, self.bandwidth = (
                frequency,
                spreading_factor,
                bandwidth * 1000,
            )
            self.coding_rate, self.preamble, self.power = rate + 5, preamble, power
            self._status("OK")

    def _set_receive(self, value: str, now: float) -> None:
        if not value.isdecimal() or int(value) > ONCE:
            self._status("AT_PARAM_ERROR")
        elif int(value) != OFF and self._receive != OFF:
            self._status("AT_BUSY_ERROR")
        else:
            self._receive = int(value)
            timed = self._receive not in (OFF, WITH_TX, CONTINUOUS, ONCE)
            self._until = now + self._receive / 1000 if timed else None
            self._status("OK")

    def timers(self, now: float) -> None:
        if self._until is not None and now >= self._until:
            self._receive, self._until = OFF, None
            self.say("+EVT:RXP2P RECEIVE TIMEOUT")

    def timer(self) -> float | None:
        return self._until

    def sent(self, now: float) -> None:
        self.say("+EVT:TXP2P DONE")

    def hear(self, heard: Heard, now: float) -> None:
        if not heard.payload:
            return
        self.say(f"+EVT:RXP2P:{int(heard.rssi_dbm)}:{int(heard.snr_db)}:{heard.payload.hex().upper()}")
        if self._receive not in (WITH_TX, CONTINUOUS):
            self._receive, self._until = OFF, None
