"""What the law allows on which frequency: sub-bands, duty cycle, power, time on air of a packet.

A help to keep within the rules, not legal advice; who transmits is responsible. Sources by region stand in
`REGIONS`. A duty cycle is a share of any hour and belongs to a transmitter in a sub-band, whatever links it
has there. Where the law offers listen-before-talk with frequency agility instead, the duty cycle is taken:
no firmware here is certified for the other.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

ERP_OF_EIRP_DB = -2.15
"""ERP is against a dipole, EIRP against a point: the same radiation is this many dB less in ERP."""
DWELL_S = 0.4
FULL = 1.0


@dataclass(frozen=True, slots=True)
class Rule:
    """What holds in a sub-band. Hz; power is what leaves the antenna.

    `duty_cycle` is a share of an hour, 1 is no limit. `max_airtime` is in seconds for one packet, None is
    no limit.
    """

    name: str
    low: int
    high: int
    duty_cycle: float
    max_erp_dbm: float
    max_airtime: float | None = None

    def holds(self, frequency: int, bandwidth: int) -> bool:
        """Whether a whole channel lies in it."""
        return self.low <= frequency - bandwidth / 2 and frequency + bandwidth / 2 <= self.high


@dataclass(frozen=True, slots=True)
class Region:
    """The sub-bands of a region, where several hold one channel the most permitting that its power allows.

    `dwell_below` is the bandwidth in Hz under which the law wants short packets of hopping systems; it is
    kept on request (`strict_dwell`), because most single-channel firmware does not.
    """

    name: str
    source: str
    rules: tuple[Rule, ...]
    dwell_below: int = 0
    meshtastic: tuple[str, ...] = field(default=())
    """What Meshtastic calls it."""


def _mhz(value: float) -> int:
    return round(value * 1_000_000)


def _rule(
    name: str, low: float, high: float, duty: float, erp_dbm: float, max_airtime: float | None = None
) -> Rule:
    return Rule(name, _mhz(low), _mhz(high), duty, erp_dbm, max_airtime)


def _eirp(dbm: float) -> float:
    return dbm + ERP_OF_EIRP_DB


REGIONS = {
    one.name: one
    for one in (
        Region(
            "EU868",
            "ETSI EN 300 220-2 V3.2.1 table B.1 (page 22): bands K, L, M, N, P, Q",
            (
                _rule("K", 863.0, 865.0, 0.001, 14),
                _rule("L", 865.0, 868.0, 0.01, 14),
                _rule("M", 868.0, 868.6, 0.01, 14),
                _rule("N", 868.7, 869.2, 0.001, 14),
                _rule("P", 869.4, 869.65, 0.1, 27),
                _rule("Q", 869.7, 870.0, FULL, 7),
                _rule("Q", 869.7, 870.0, 0.01, 14),
            ),
            meshtastic=("EU_868",),
        ),
        Region(
            "EU433",
            "ETSI EN 300 220-2 V3.2.1 table B.1 (page 21): bands G and H",
            (_rule("G", 433.05, 434.79, FULL, 0), _rule("H", 433.05, 434.79, 0.1, 10)),
            meshtastic=("EU_433",),
        ),
        Region(
            "US915",
            "47 CFR 15.247: 1 W and 6 dBi; 0.4 s in a period for hopping and hybrid systems below 500 kHz",
            (_rule("902-928", 902.0, 928.0, FULL, _eirp(36)),),
            dwell_below=500_000,
            meshtastic=("US",),
        ),
        Region(
            "AU915",
            "LoRaWAN RP002-1.0.4 section 2.8: 30 dBm EIRP; 0.4 s for uplinks of less than 500 kHz",
            (_rule("915-928", 915.0, 928.0, FULL, _eirp(30)),),
            dwell_below=500_000,
            meshtastic=("ANZ",),
        ),
        Region(
            "AS923",
            "LoRaWAN RP002-1.0.4 section 2.10: 16 dBm EIRP; 0.4 s where the country asks for it (Japan)",
            (_rule("915-928", 915.0, 928.0, FULL, _eirp(16)),),
            dwell_below=1_000_000,
        ),
        Region(
            "KR920",
            "LoRaWAN RP002-1.0.4 section 2.11: 10 dBm EIRP below 922 MHz, 14 dBm above, listening first",
            (
                _rule("920.9-921.9", 920.8, 922.0, FULL, _eirp(10)),
                _rule("922.1-923.3", 922.0, 923.4, FULL, _eirp(14)),
            ),
            meshtastic=("KR",),
        ),
        Region(
            "IN865",
            "LoRaWAN RP002-1.0.4 section 2.12: 30 dBm EIRP",
            (_rule("865-867", 865.0, 867.0, FULL, _eirp(30)),),
            meshtastic=("IN",),
        ),
        Region(
            "CN470",
            "LoRaWAN RP002-1.0.4 section 2.9: 19.15 dBm EIRP; civil metering band, at most 5 s a packet",
            (_rule("470-510", 470.0, 510.0, FULL, _eirp(19.15), 5.0),),
            meshtastic=("CN",),
        ),
        Region(
            "RU864",
            "GKRCh decision 18-46-03-1 of 11 September 2018, annex 12",
            (
                _rule("864-865", 864.0, 865.0, 0.001, 14),
                _rule("866-868", 866.0, 868.0, 0.01, 14),
                _rule("868.7-869.2", 868.7, 869.2, 0.1, 20),
            ),
            meshtastic=("RU",),
        ),
        Region(
            "NZ865",
            "New Zealand General User Radio Licence for Short Range Devices: 864 to 868 MHz, 6 dBW EIRP",
            (_rule("864-868", 864.0, 868.0, FULL, _eirp(36)),),
            meshtastic=("NZ_865",),
        ),
    )
}


def find_rule(
    region: str,
    frequency: int,
    bandwidth: int,
    *,
    erp_dbm: float | None = None,
    strict_dwell: bool = False,
) -> Rule:
    """The rule for a channel (Hz), for the power radiated there if it is given.

    Raises KeyError for a region not known here, and ValueError, in a sentence with the cure, for a channel
    that lies in none of its sub-bands or for more power than any of them allows.
    """
    area = REGIONS[region]
    fitting = [rule for rule in area.rules if rule.holds(frequency, bandwidth)]
    channel = f"{frequency / 1e6:g} MHz with {bandwidth / 1e3:g} kHz"
    if not fitting:
        bands = ", ".join(dict.fromkeys(f"{rule.low / 1e6:g}-{rule.high / 1e6:g}" for rule in area.rules))
        raise ValueError(f"{channel} lies outside what {region} allows; choose a channel within {bands} MHz")
    loud_enough = [rule for rule in fitting if erp_dbm is None or erp_dbm <= rule.max_erp_dbm]
    if not loud_enough:
        most = max(rule.max_erp_dbm for rule in fitting)
        raise ValueError(
            f"{erp_dbm:g} dBm ERP are too much at {channel} in {region}; set at most {most:g} dBm"
        )
    # Without a power, the rule that allows the most of it; with one, the most time.
    if erp_dbm is None:
        rule = max(loud_enough, key=lambda one: one.max_erp_dbm)
    else:
        rule = max(loud_enough, key=lambda one: one.duty_cycle)
    if strict_dwell and bandwidth < area.dwell_below:
        return Rule(rule.name, rule.low, rule.high, rule.duty_cycle, rule.max_erp_dbm, DWELL_S)
    return rule


def regions_at(frequency: int, bandwidth: int) -> Iterator[str]:
    """The regions that allow a channel: for telling people what may be meant."""
    for name, area in REGIONS.items():
        if any(rule.holds(frequency, bandwidth) for rule in area.rules):
            yield name
