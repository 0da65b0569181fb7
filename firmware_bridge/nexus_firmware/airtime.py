"""Exact time on air of a LoRa packet (SX1276 datasheet 4.1.1.7; SX1261/2 datasheet 6.1.4)."""

from typing import Literal

MAX_PAYLOAD = 255
"""Bytes in one LoRa packet, on every chip."""
LOW_DATA_RATE_SYMBOL_S = 0.016
"""Symbols longer than this need the low-data-rate optimisation."""


def symbol_time(spreading_factor: int, bandwidth: float) -> float:
    """Seconds a symbol lasts; `bandwidth` in Hz."""
    return (1 << spreading_factor) / bandwidth


def time_on_air(
    payload_bytes: int,
    *,
    spreading_factor: int,
    bandwidth: float,
    coding_rate: int,
    preamble: int = 8,
    explicit_header: bool = True,
    crc: bool = True,
    low_data_rate: bool | None = None,
    chip: Literal["sx126x", "sx127x"] = "sx126x",
) -> float:
    """Return the seconds from the first preamble symbol to the last payload symbol.

    `bandwidth` is in Hz, `coding_rate` the denominator 5 to 8 of 4/5 to 4/8, `preamble` in symbols.
    `low_data_rate` None follows the rule (on when a symbol lasts more than 16 ms). The chips differ
    at spreading factor 6 only; the SX127x has no 5, and 6 only without the explicit header.
    Raises ValueError outside these ranges.
    """
    _check(payload_bytes, spreading_factor, coding_rate, explicit_header, chip)
    symbol = symbol_time(spreading_factor, bandwidth)
    if low_data_rate is None:
        low_data_rate = symbol > LOW_DATA_RATE_SYMBOL_S
    # Spreading factors 5 and 6 of the SX126x: a longer sync word, and no symbols' worth of bits less.
    fast = chip == "sx126x" and spreading_factor <= 6
    bits = 8 * payload_bytes - 4 * spreading_factor + (0 if fast else 8)
    bits += (16 if crc else 0) + (20 if explicit_header else 0)
    bits_per_block = 4 * (spreading_factor - (2 if low_data_rate else 0))
    blocks = max(-(-bits // bits_per_block), 0)
    return (preamble + (6.25 if fast else 4.25) + 8 + blocks * coding_rate) * symbol


def _check(
    payload_bytes: int, spreading_factor: int, coding_rate: int, explicit_header: bool, chip: str
) -> None:
    if not 0 <= payload_bytes <= MAX_PAYLOAD:
        raise ValueError(f"a LoRa packet holds 0 to {MAX_PAYLOAD} bytes, not {payload_bytes}")
    if not 5 <= coding_rate <= 8:
        raise ValueError(f"coding rate is the denominator 5 to 8, not {coding_rate}")
    if not 5 <= spreading_factor <= 12:
        raise ValueError(f"spreading factor is 5 to 12, not {spreading_factor}")
    if chip == "sx127x" and (spreading_factor == 5 or (spreading_factor == 6 and explicit_header)):
        raise ValueError("the SX127x has no spreading factor 5, and 6 only without the explicit header")
