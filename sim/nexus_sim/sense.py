"""What single values of a scenario do not show: whether they make sense together."""

from nexus_node.base.duty import HOUR_S
from nexus_node.base.errors import ConfigError
from nexus_sim.duty import ANYWHERE, EU868, Duty
from nexus_sim.modem import Modem
from nexus_sim.scenario import Mobility, Outage, Radio, Scenario, Texts


def check_sense(scenario: Scenario) -> None:
    """Raises ConfigError: what is wrong, and the cure."""
    if not scenario.nodes and not scenario.places and scenario.contacts is None:
        raise ConfigError("there are no nodes; add [places], [[node]] or [contacts]")
    for places in scenario.places:
        if places.kind == "file" and not places.file:
            raise ConfigError('file in [places] is missing; kind is "file"')
    if scenario.settle_s >= scenario.duration_s:
        raise ConfigError("settle_s leaves no time to send anything; make duration_s longer")
    if scenario.radio is not None:
        _check_radio(scenario.radio)
    if scenario.mobility is not None:
        _check_mobility(scenario.mobility, scenario)
    for partition in scenario.partitions:
        if partition.from_s >= partition.to_s:
            raise ConfigError("from_s in [[partition]] is not before to_s")
    for texts in scenario.texts:
        _check_texts(texts)
    for wire in scenario.wires:
        if wire.every_s and wire.every_s < wire.up[-1][1]:
            raise ConfigError("every_s in [[wire]] is before the last time in up; make it longer")
    for outage in scenario.outages:
        _check_outage(outage)


def check_times(scenario: Scenario) -> None:
    """What begins after the end of the run is a mistake, but in a short form. Raises ConfigError."""
    end_s, last_s = scenario.duration_s, scenario.duration_s - scenario.settle_s
    begins = [
        *(("from_s in [[partition]]", one.from_s) for one in scenario.partitions),
        *(("the first time in up in [[wire]]", one.up[0][0]) for one in scenario.wires),
        *(("at_s in [[outage]]", one.at_s) for one in scenario.outages),
    ]
    for what, at_s in begins:
        if at_s >= end_s:
            raise ConfigError(f"{what} is {at_s:g}, after the end of the run; make it less than {end_s:g}")
    for texts in scenario.texts:
        if texts.start_s >= last_s:
            raise ConfigError(
                f"start_s in [[texts]] is {texts.start_s:g}, but nothing is written from {last_s:g} s on, "
                "which is duration_s without settle_s; make it less"
            )


def _check_radio(radio: Radio) -> None:
    if radio.region == "EU868" and Duty(EU868).band(radio.frequency) is None:
        raise ConfigError(
            f"frequency in [radio] is {radio.frequency:.0f}, which lies in no band of EU868; take another, "
            'such as 869525000, or set region to "none"'
        )

    _check_packet(radio)


def _check_packet(radio: Radio) -> None:
    """What is never allowed on the air would wait for ever."""
    band = Duty(EU868 if radio.region == "EU868" else ANYWHERE).band(radio.frequency)
    modem = Modem(radio.frequency, radio.spreading_factor, radio.bandwidth, radio.coding_rate, radio.preamble)
    share_s = HOUR_S * band.duty_cycle if band is not None else 0.0
    takes_s = modem.airtime(radio.mtu)
    if takes_s > share_s:
        raise ConfigError(
            f"a packet of mtu in [radio], {radio.mtu} bytes, is {takes_s:.1f} s on air, and the band has "
            f"{share_s:.1f} s in an hour; take another frequency, a lower spreading_factor or a smaller mtu"
        )


def _check_mobility(mobility: Mobility, scenario: Scenario) -> None:
    if scenario.radio is None or scenario.radio.matrix:
        raise ConfigError("[mobility] moves radios by their places; add [radio], without a matrix")
    if scenario.partitions:
        raise ConfigError("a [[partition]] does not hold for nodes that move; leave out one of the two")


def _check_texts(texts: Texts) -> None:
    if texts.group and (texts.to_all or texts.circle or texts.photo != (0, 0) or texts.min_bandwidth):
        raise ConfigError("group in [[texts]] goes without to_all, circle, photo and min_bandwidth")
    if texts.start_s >= texts.end_s:
        raise ConfigError("start_s in [[texts]] is not before end_s")


def _check_outage(outage: Outage) -> None:
    if outage.every_s and not outage.for_s:
        raise ConfigError("every_s in [[outage]] needs for_s: how long the nodes are off each time")
    if outage.every_s and outage.every_s <= outage.for_s:
        raise ConfigError("every_s in [[outage]] is not longer than for_s; the nodes would never be on")
