"""Path losses, thresholds and links against published values (acceptance S4)."""

import math
import random
from statistics import fmean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_sim.channel import Channel, Transmission
from nexus_sim.links import Links, Plane
from nexus_sim.modem import Modem
from nexus_sim.propagation import (
    LogDistance,
    Shadowing,
    SuburbanMacro,
    lorasim_sensitivity,
    loss_of_snr,
    noise_floor,
    snr_sensitivity,
)
from nexus_sim.reception import Fate


def modem(factor: int, bandwidth: float) -> Modem:
    return Modem(868e6, factor, bandwidth, 5)


def test_the_noise_floor_is_the_published_one() -> None:
    assert noise_floor(125_000) == pytest.approx(-117, abs=0.05)
    assert noise_floor(250_000) == pytest.approx(-114, abs=0.05)


@pytest.mark.parametrize(
    ("factor", "bandwidth", "dbm"),
    [
        # Meshtasticator's presets, SHORT_TURBO to VERY_LONG_SLOW.
        *[(7, 500e3, -118.5), (7, 250e3, -121.5), (8, 250e3, -124.0), (9, 250e3, -126.5)],
        *[(10, 250e3, -129.0), (11, 500e3, -128.5), (11, 250e3, -131.5), (11, 125e3, -134.5)],
        *[(12, 125e3, -137.0), (12, 62.5e3, -140.0)],
    ],
)
def test_sensitivity_is_floor_and_snr_limit(factor: int, bandwidth: float, dbm: float) -> None:
    assert snr_sensitivity(modem(factor, bandwidth)) == pytest.approx(dbm, abs=0.05)


def test_lorasims_sensitivities() -> None:
    found = [lorasim_sensitivity(modem(factor, 125_000)) for factor in range(6, 13)]
    assert found == [-133.25, -126.5, -127.25, -131.25, -132.75, -134.5, -133.25]
    assert lorasim_sensitivity(modem(12, 250_000)) == lorasim_sensitivity(modem(12, 500_000)) == -132.25
    with pytest.raises(KeyError):
        lorasim_sensitivity(modem(12, 62_500))


@pytest.mark.parametrize(("dbm", "metres"), [(-132.25, 98.96), (-112, 37.4), (-134.5, 110.3)])
def test_lorasims_radii_rest_on_the_natural_logarithm(dbm: float, metres: float) -> None:
    assert LogDistance(natural=True).range_m(14 - dbm) == pytest.approx(metres, abs=0.05)
    assert LogDistance().range_m(14 - dbm) != pytest.approx(metres, rel=0.05)


def test_each_factor_of_distance_costs_ten_gamma() -> None:
    assert LogDistance().loss_db(400) - LogDistance().loss_db(40) == pytest.approx(20.8)
    natural = LogDistance(natural=True)
    assert natural.loss_db(40 * math.e) - natural.loss_db(40) == pytest.approx(20.8)
    assert natural.loss_db(40) == LogDistance().loss_db(40) == 127.41


def test_suburban_macro_by_hand() -> None:
    model = SuburbanMacro(908.75e6)
    assert model.loss_db(1000) == pytest.approx(45.5 + 34.36 * 2.958444 + 0.7, abs=1e-4)  # 147.85 dB
    assert model.loss_db(10_000) - model.loss_db(1000) == pytest.approx(44.9)
    high = SuburbanMacro(
        1900e6, base_height_m=32, height_m=1.5
    )  # the example of TR 25.996, 31.5 + 35 log10 d
    for metres in (100, 1000, 5000):
        assert high.loss_db(metres) == pytest.approx(31.5 + 35 * math.log10(metres), abs=0.2)


MODELS = [LogDistance(), LogDistance(natural=True), SuburbanMacro(869.5e6), SuburbanMacro(433e6, 30, 2)]


@given(st.sampled_from(MODELS), st.floats(0.01, 1e6), st.floats(1.001, 2))
def test_ranges_are_the_inverse_of_losses(
    model: LogDistance | SuburbanMacro, metres: float, more: float
) -> None:
    assert model.range_m(model.loss_db(metres)) == pytest.approx(metres)
    assert model.loss_db(metres * more) > model.loss_db(metres)
    assert math.isfinite(model.loss_db(0))


def test_a_loss_that_hardly_rises_reaches_everywhere() -> None:
    assert LogDistance(gamma=0.001).range_m(140) == math.inf


# --- shadowing ----------------------------------------------------------------------------------
def test_shadowing_is_of_the_pair_and_of_the_seed() -> None:
    one, other = Shadowing(6.0, 1), Shadowing(6.0, 2)
    pairs = [(a, b) for a in range(60) for b in range(a)]
    values = [one.between(a, b) for a, b in pairs]
    assert (
        values == [one.between(b, a) for a, b in pairs] == [Shadowing(6.0, 1).between(a, b) for a, b in pairs]
    )
    assert values != [other.between(a, b) for a, b in pairs]
    # 1,770 values: the mean is within 4 standard errors, the deviation (relative error 1.7 %) as well.
    assert abs(fmean(values)) < 4 * 6 / math.sqrt(len(values))
    assert stdev(values) == pytest.approx(6, rel=0.07)
    assert max(map(abs, values)) <= one.most_db == 30
    assert Shadowing(0.0).between(1, 2) == 0


# --- links --------------------------------------------------------------------------------------
@pytest.mark.parametrize("factor", range(7, 13))
@pytest.mark.parametrize(("more", "received"), [(0.5, True), (-0.5, False)])
def test_a_measured_snr_decides_at_the_threshold(factor: int, more: float, received: bool) -> None:
    radio = modem(factor, 125_000)
    limit = -7.5 - 2.5 * (factor - 7)
    links = Links(200)
    links.set(1, 2, loss_of_snr(limit + more, 14, 125_000))
    channel = Channel(links)
    for node in (1, 2):
        channel.add(node, radio)
    packet = Transmission(1, radio, 14, 1.0)
    ((receiver, fate, rssi, snr),) = channel.finish(packet, channel.begin(packet, 0))
    assert receiver == 2
    assert (fate is Fate.RECEIVED) == received
    assert fate in (Fate.RECEIVED, Fate.TOO_WEAK)
    assert snr == pytest.approx(limit + more)
    assert rssi == pytest.approx(noise_floor(125_000) + limit + more)


def test_links_are_directed_and_in_order() -> None:
    links = Links(100)
    for receiver, loss in ((7, 90), (2, 100), (5, 100.1), (3, 80)):
        links.set(1, receiver, loss)
    assert links.of(1) == [(2, 100), (3, 80), (7, 90)]
    assert links.of(2) == []
    links.set(1, 3, math.inf)
    links.set(1, 7, 95)
    assert links.of(1) == [(2, 100), (7, 95)]


@given(
    st.integers(0, 5), st.floats(0, 8), st.lists(st.tuples(st.integers(0, 7), st.integers(0, 9)), max_size=30)
)
def test_a_plane_is_what_the_model_says_of_where_nodes_stand(
    seed: int, sigma: float, moves: list[tuple[int, int]]
) -> None:
    model, shadowing, rng = SuburbanMacro(869.5e6), Shadowing(sigma, seed), random.Random(seed)
    links = Links(150)
    plane = Plane(links, model, shadowing)
    where: dict[int, tuple[float, float]] = {}
    for node, kilometres in moves:
        where[node] = kilometres * 200.0, rng.uniform(0, 1000)
        plane.place(node, *where[node])
    for a, at in where.items():
        losses = {
            b: model.loss_db(math.dist(at, place)) + shadowing.between(a, b)
            for b, place in where.items()
            if b != a
        }
        assert dict(links.of(a)) == pytest.approx({b: loss for b, loss in losses.items() if loss <= 150})
        assert all((a, loss) in links.of(b) for b, loss in links.of(a))
