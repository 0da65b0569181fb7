"""The radio keys of a `[[carrier]]`, and what the law says about them."""

from nexus_drivers.options import Options
from nexus_firmware.radio import RadioSettings
from nexus_firmware.regions import REGIONS, Rule, find_rule, regions_at

RADIO_KEYS = (
    "port",
    "frequency",
    "bandwidth",
    "spreading_factor",
    "coding_rate",
    "tx_power",
    "region",
    "dwell",
)
_BANDWIDTHS = (7_800, 1_625_000)


def read_settings(options: Options) -> RadioSettings:
    """`frequency`, which has no default, and the rest. Raises `ConfigError`."""
    if "frequency" not in options:
        raise options.missing("frequency", "frequency = 869525000 (Hz)")
    return RadioSettings(
        frequency=options.whole("frequency", 0, 137_000_000, 2_500_000_000),
        bandwidth=options.whole("bandwidth", 125_000, *_BANDWIDTHS),
        spreading_factor=options.whole("spreading_factor", 8, 5, 12),
        coding_rate=options.whole("coding_rate", 5, 5, 8),
        tx_power=options.whole("tx_power", 14, 0, 37),
    )


def read_rule(options: Options, settings: RadioSettings, *, bandwidth: int | None = None) -> tuple[str, Rule]:
    """The region and its rule for the channel. Power is taken as radiated by a dipole.

    Without `region` the strictest holds of those that allow the channel. `bandwidth` counts instead of the
    settings' where a maker does not tell it. With `dwell` packets
    are as short as a law wants of hopping systems. Raises `ConfigError` that names the key.
    """
    width = settings.bandwidth if bandwidth is None else bandwidth
    strict = options.flag("dwell")
    region = options.text("region")
    if region is not None and region not in REGIONS:
        raise options.wrong("region", f"is not known here; use one of {', '.join(REGIONS)}")
    candidates = [region] if region else list(regions_at(settings.frequency, width))
    if not candidates:
        raise options.wrong(
            "frequency",
            f"{f'with {width / 1e3:g} kHz ' if width else ''}lies in no band known here; choose one farther"
            " from the band's edge",
        )
    found = []
    for name in candidates:
        try:
            rule = find_rule(name, settings.frequency, width, erp_dbm=settings.tx_power, strict_dwell=strict)
            found.append((name, rule))
        except ValueError as error:
            reason = str(error).replace(" with 0 kHz", "")
    if not found:
        key = "tx_power" if "dBm" in reason else "frequency"
        raise options.wrong(key, f"cannot be used: {reason}")
    return min(found, key=lambda one: one[1].duty_cycle)
