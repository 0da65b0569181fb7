"""Microchip RN2483 1.0.5 (LoStik), its `radio` commands (DS40001784; radio.md section 3.5)."""

import re

from nexus_firmware.emulate.air import Heard
from nexus_firmware.emulate.at_lines import LineModule

VERSION = "RN2483 1.0.5 Oct 31 2018 15:06:52"
PAUSED_MS = 4294967245
_HEX = re.compile(r"([0-9A-Fa-f]{2}){1,255}", re.ASCII)


class Rn2483(LineModule):
    """The receiver is started for one packet at a time; a watchdog stops it, and a transmission, too."""

    kind = "rn2483"

    def reset(self, now: float) -> None:
        self._paused = False
        self._receiving = False
        self._watchdog_ms = 15_000
        self._until: float | None = None
        self._snr, self._rssi = -128, -128
        self.sync_word = 0x34
        self.frequency, self.spreading_factor, self.bandwidth = 868_100_000, 12, 125_000

    def greet(self) -> None:
        self.say(VERSION)

    def listening(self) -> bool:
        return self._receiving

    def command(self, line: str, now: float) -> None:
        words = line.split(" ")
        match words:
            case ["sys", "get", "ver"]:
                self.say(VERSION)
            case ["sys", "reset"]:
                self.boot(now)
            case ["mac", "pause"]:
                self._paused = True
                self.say(str(PAUSED_MS))
            case ["radio", "set", name, value]:
                self.say("ok" if self._set(name, value) else "invalid_param")
            case ["radio", "get", name]:
                self._get(name)
            case ["radio", "tx", text] if _HEX.fullmatch(text):
                if self.sending or self._receiving or not self._paused:
                    self.say("busy")
                else:
                    self.say("ok")
                    self.put_on_air(bytes.fromhex(text), now)
            case ["radio", "rx", window] if window.isdecimal() and int(window) <= 65535:
                if self.sending or self._receiving or not self._paused:
                    self.say("busy")
                else:
                    self._receiving = True
                    self._until = now + self._watchdog_ms / 1000 if self._watchdog_ms else None
                    self.say("ok")
            case ["radio", "rxstop"]:
                self._receiving, self._until = False, None
                self.say("ok")
            case _:
                self.say("invalid_param")

    def _set(self, name: str, value: str) -> bool:
        number = int(value) if value.isdecimal() else -1
        match name:
            case "mod":
                return value == "lora"
            case "freq" if 433_050_000 <= number <= 434_790_000 or 863_000_000 <= number <= 870_000_000:
                self.frequency = number
            case "pwr" if re.fullmatch(r"-?\d{1,2}", value, re.ASCII) and -3 <= int(value) <= 15:
                self.power = int(value)
            case "sf" if value in {f"sf{one}" for one in range(7, 13)}:
                self.spreading_factor = int(value[2:])
            case "bw" if number in (125, 250, 500):
                self.bandwidth = number * 1000
            case "cr" if value in {"4/5", "4/6", "4/7", "4/8"}:
                self.coding_rate = int(value[2])
            case "prlen" if 0 <= number <= 65535:
                self.preamble = number
            case "wdt" if 0 <= number <= 4294967295:
                self._watchdog_ms = number
            case "sync" if re.fullmatch(r"[0-9A-Fa-f]{2}", value, re.ASCII):
                self.sync_word = int(value, 16)
            case "crc" | "iqi":
                return value in ("on", "off")
            case _:
                return False
        return True

    def _get(self, name: str) -> None:
        values = {
            "snr": str(self._snr),
            "rssi": str(self._rssi),
            "freq": str(self.frequency),
            "pwr": str(self.power),
            "sf": f"sf{self.spreading_factor}",
            "bw": str(self.bandwidth // 1000),
            "cr": f"4/{self.coding_rate}",
            "wdt": str(self._watchdog_ms),
            "sync": f"{self.sync_word:02X}",
        }
        self.say(values.get(name, "invalid_param"))

    def timers(self, now: float) -> None:
        if self._until is not None and now >= self._until:
            self._receiving, self._until = False, None
            self.say("radio_err")

    def timer(self) -> float | None:
        return self._until

    def sent(self, now: float) -> None:
        self.say("radio_tx_ok")

    def hear(self, heard: Heard, now: float) -> None:
        if not heard.payload:
            return
        self._receiving, self._until = False, None
        self._snr, self._rssi = int(heard.snr_db), int(heard.rssi_dbm)
        self.say(f"radio_rx  {heard.payload.hex().upper()}")
