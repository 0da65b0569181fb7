"""Settings of `nexus-sim radio` and `nexus-sim flood`: a TOML file to checked values."""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from nexus_firmware.airtime import MAX_PAYLOAD
from nexus_node.base.errors import ConfigError
from nexus_node.config.rules import Rule, check, flag, number, one_of, positive, whole
from nexus_sim.propagation import LORASIM_DBM

T = TypeVar("T")

FREQUENCY = number(100_000_000, 3_000_000_000, "hertz")
FREQUENCIES_MAX = 64
PATHLOSS: Mapping[str, Rule] = {
    "model": one_of("ln", "log10"),
    "d0": positive("metres"),
    "pl0": number(-1000, 1000, "decibels"),
    "gamma": Rule("a number above 0, such as 2.08", positive("").accepts),
}
COMMON: Mapping[str, Rule] = {
    "bandwidth": number(7_800, 1_625_000, "hertz"),
    "coding_rate": whole(5, 8, "eighths: 5 stands for 4/5, 8 for 4/8,"),
    "payload": whole(0, MAX_PAYLOAD, "bytes"),
    "preamble": whole(1, 65_535, "symbols"),
    "tx_dbm": number(-50, 60, "dBm"),
    "mean_interval_s": positive("seconds"),
    "horizon_s": positive("seconds"),
    "capture": flag(),
    "capture_db": number(0, 1000, "decibels"),
    "max_concurrent": whole(0, 1_000_000, "packets"),
    "seed": whole(0, 2**63, "any size"),
}
RADIO: Mapping[str, Rule] = {
    **COMMON,
    "nodes": whole(1, 100_000, "nodes"),
    "radius_m": positive("metres"),
    "spreading_factor": Rule(
        'a whole number from 5 to 12, or "fastest"',
        lambda value: value == "fastest" or (type(value) is int and 5 <= value <= 12),
    ),
    "chip": one_of("sx126x", "sx127x"),
    "sensitivity": one_of("lorasim", "snr"),
    "isolation": one_of("none", "goursaud"),
    "shadowing_db": number(0, 100, "decibels"),
    "frequencies": Rule(
        f"a list of 1 to {FREQUENCIES_MAX} frequencies in hertz, such as [860e6, 864e6, 868e6]",
        lambda value: (
            type(value) is list
            and 0 < len(value) <= FREQUENCIES_MAX
            and all(FREQUENCY.accepts(one) for one in value)
        ),
    ),
}
FLOOD: Mapping[str, Rule] = {
    **COMMON,
    "nodes": whole(2, 1000, "nodes"),
    "side_m": positive("metres"),
    "height_m": number(0.1, 1000, "metres"),
    "frequency": FREQUENCY,
    "spreading_factor": whole(5, 12, "bits a symbol"),
    "hop_limit": whole(0, 7, "hops"),
    "retransmissions": whole(0, 10, "times"),
    "airtime": one_of("exact", "meshtasticator"),
    "acks": one_of("heard", "meshtasticator"),
    "noise_dbm": number(-200, 0, "dBm"),
}


@dataclass(frozen=True, slots=True)
class PathLossSetting:
    """Log-distance path loss; "ln" is LoRaSim's natural logarithm."""

    model: Literal["ln", "log10"] = "ln"
    d0: float = 40.0
    pl0: float = 127.41
    gamma: float = 2.08


@dataclass(frozen=True, slots=True)
class RadioSetting:
    """Senders around one receiver (docs/simulator.md); the defaults are LoRaSim's."""

    nodes: int = 64
    radius_m: float = 98.96
    spreading_factor: int | Literal["fastest"] = 12
    bandwidth: float = 125_000
    coding_rate: int = 5
    payload: int = 20
    preamble: int = 8
    tx_dbm: float = 14.0
    mean_interval_s: float = 1000.0
    horizon_s: float = 500_000.0
    capture: bool = True
    capture_db: float = 6.0
    max_concurrent: int = 8
    pathloss: PathLossSetting = PathLossSetting()
    chip: Literal["sx126x", "sx127x"] | None = None
    """None: what has the spreading factor, for 6 as LoRaSim with the SX127x and no explicit header."""
    sensitivity: Literal["lorasim", "snr"] | None = None
    """None: LoRaSim's table where it has the setting, else the SNR limit."""
    isolation: Literal["none", "goursaud"] = "none"
    shadowing_db: float = 0.0
    frequencies: tuple[float, ...] = (860e6,)
    seed: int = 0


@dataclass(frozen=True, slots=True)
class FloodSetting:
    """A mesh that floods (docs/simulator.md); the defaults are Meshtasticator's."""

    nodes: int = 10
    side_m: float = 15_000.0
    height_m: float = 1.0
    frequency: float = 908.75e6
    spreading_factor: int = 11
    bandwidth: float = 250_000
    coding_rate: int = 5
    payload: int = 40
    preamble: int = 16
    tx_dbm: float = 30.0
    hop_limit: int = 3
    retransmissions: int = 3
    mean_interval_s: float = 100.0
    horizon_s: float = 1800.0
    capture: bool = True
    capture_db: float = 6.0
    max_concurrent: int = 0
    airtime: Literal["exact", "meshtasticator"] = "exact"
    acks: Literal["heard", "meshtasticator"] = "heard"
    noise_dbm: float | None = None
    """What nodes hold for the noise when they choose how long to wait; None for what it is."""
    seed: int = 0


def read_radio(path: Path) -> RadioSetting:
    """Read a setting of `nexus-sim radio`. Raises ConfigError with file, key and cure."""
    return _read(path, check_radio)


def read_flood(path: Path) -> FloodSetting:
    """Read a setting of `nexus-sim flood`. Raises ConfigError with file, key and cure."""
    return _read(path, check_flood)


def check_radio(values: Mapping[str, Any]) -> RadioSetting:
    """Check a parsed setting. Raises ConfigError."""
    top = dict(values)
    if "pathloss" in top:
        pathloss = top.pop("pathloss")
        if not isinstance(pathloss, dict):
            raise ConfigError(
                'pathloss must be a table, such as { model = "log10", d0 = 40.0, pl0 = 127.41 }'
            )
        check(pathloss, PATHLOSS, " in pathloss")
        top["pathloss"] = PathLossSetting(**pathloss)
    known = {**RADIO, "pathloss": Rule("a table", lambda value: True)}  # checked, but a name to suggest
    check(top, known, "")
    if "frequencies" in top:
        top["frequencies"] = tuple(top["frequencies"])
    setting = RadioSetting(**top)
    factor, row = setting.spreading_factor, (setting.spreading_factor, setting.bandwidth)
    if setting.chip == "sx127x" and factor == 5:
        raise ConfigError('chip is "sx127x", which has no spreading_factor 5; leave chip out or take 6 to 12')
    if setting.sensitivity == "lorasim" and factor != "fastest" and row not in LORASIM_DBM:
        raise ConfigError(
            'sensitivity is "lorasim", whose table has spreading_factor 6 to 12 with a bandwidth of '
            '125000, 250000 or 500000; leave sensitivity out or set it to "snr"'
        )
    return setting


def check_flood(values: Mapping[str, Any]) -> FloodSetting:
    """Check a parsed setting. Raises ConfigError."""
    check(values, FLOOD, "")
    return FloodSetting(**values)


def _read(path: Path, check: Callable[[Mapping[str, Any]], T]) -> T:
    try:
        return check(tomllib.loads(path.read_bytes().decode("utf-8")))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
