"""Meshtastic's modem presets and regions, and the frequency they lead to.

From `MeshRadio.h` and `RadioInterface.cpp` of firmware 2.8 (meshtastic/firmware 7754068).
"""

from typing import NamedTuple

from nexus_firmware.radio import RadioSettings

PREAMBLE = 16
SYNC_WORD = 0x2B


class Preset(NamedTuple):
    """Hz, spreading factor, the denominator of the coding rate, and the name of its default channel."""

    bandwidth: int
    spreading_factor: int
    coding_rate: int
    channel_name: str


PRESETS = {
    "SHORT_TURBO": Preset(500_000, 7, 5, "ShortTurbo"),
    "SHORT_FAST": Preset(250_000, 7, 5, "ShortFast"),
    "SHORT_SLOW": Preset(250_000, 8, 5, "ShortSlow"),
    "MEDIUM_TURBO": Preset(500_000, 9, 5, "MediumTurbo"),
    "MEDIUM_FAST": Preset(250_000, 9, 5, "MediumFast"),
    "MEDIUM_SLOW": Preset(250_000, 10, 5, "MediumSlow"),
    "LONG_TURBO": Preset(500_000, 11, 8, "LongTurbo"),
    "LONG_FAST": Preset(250_000, 11, 5, "LongFast"),
    "LONG_MODERATE": Preset(125_000, 11, 8, "LongMod"),
    "LONG_SLOW": Preset(125_000, 12, 8, "LongSlow"),
    "LITE_FAST": Preset(125_000, 9, 5, "LiteFast"),
    "LITE_SLOW": Preset(125_000, 10, 5, "LiteSlow"),
    "NARROW_FAST": Preset(62_500, 7, 6, "NarrowFast"),
    "NARROW_SLOW": Preset(62_500, 8, 6, "NarrowSlow"),
}


class MeshRegion(NamedTuple):
    """Edges (Hz), the duty cycle the firmware keeps (share of an hour, 1 is none), its power limit in dBm."""

    start: int
    end: int
    duty_cycle: float
    power_dbm: int


REGIONS = {
    "US": MeshRegion(902_000_000, 928_000_000, 1.0, 30),
    "EU_433": MeshRegion(433_000_000, 434_000_000, 0.1, 10),
    "EU_868": MeshRegion(869_400_000, 869_650_000, 0.1, 27),
    "CN": MeshRegion(470_000_000, 510_000_000, 1.0, 19),
    "JP": MeshRegion(920_500_000, 923_500_000, 1.0, 13),
    "ANZ": MeshRegion(915_000_000, 928_000_000, 1.0, 30),
    "ANZ_433": MeshRegion(433_050_000, 434_790_000, 1.0, 14),
    "RU": MeshRegion(868_700_000, 869_200_000, 1.0, 20),
    "KR": MeshRegion(920_000_000, 923_000_000, 1.0, 23),
    "TW": MeshRegion(920_000_000, 925_000_000, 1.0, 27),
    "IN": MeshRegion(865_000_000, 867_000_000, 1.0, 30),
    "NZ_865": MeshRegion(864_000_000, 868_000_000, 1.0, 36),
    "TH": MeshRegion(920_000_000, 925_000_000, 0.1, 27),
    "UA_433": MeshRegion(433_000_000, 434_700_000, 0.1, 10),
    "MY_433": MeshRegion(433_000_000, 435_000_000, 1.0, 20),
    "MY_919": MeshRegion(919_000_000, 924_000_000, 1.0, 27),
    "SG_923": MeshRegion(917_000_000, 925_000_000, 1.0, 20),
    "BR_902": MeshRegion(902_000_000, 907_500_000, 1.0, 30),
}
"""Those with the standard presets; the firmware has more with channel plans of their own."""


def _djb2(text: str) -> int:
    value = 5381
    for byte in text.encode():
        value = (value * 33 + byte) & 0xFFFFFFFF
    return value


def radio_settings(
    region: str, preset: str, primary_channel: str = "", slot: int = 0, tx_power: int = 0
) -> RadioSettings:
    """What a device is tuned to.

    `primary_channel` empty is the preset's own; `slot` from 1 on overrides the one its name leads to;
    `tx_power` 0 is the region's limit. Raises KeyError for a region or preset not known here, ValueError for
    a preset wider than the region.
    """
    area, modem = REGIONS[region], PRESETS[preset]
    if modem.bandwidth > area.end - area.start:
        raise ValueError(f"{preset} is wider than the region {region}")
    slots = max(round((area.end - area.start) / modem.bandwidth), 1)
    number = slot - 1 if slot else _djb2(primary_channel or modem.channel_name) % slots
    frequency = area.start + modem.bandwidth // 2 + number * modem.bandwidth
    return RadioSettings(
        frequency, modem.bandwidth, modem.spreading_factor, modem.coding_rate, tx_power or area.power_dbm
    )
