"""Frames over packets of 20 bytes and more: whole whatever is lost, only what is missing is repeated (N2)."""

import random
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_drivers.short_frames import SHORTEST, AskParts, Part, ShortFrames, parse_short_frame_untrusted
from nexus_node.base.errors import BadWire, LocalError
from nexus_node.base.limits import MTU_MIN

PACKET_S = 0.5


class Air:
    """Machines that all hear each other, one packet at a time; `lost` is drawn for each that hears."""

    def __init__(self, size: int, stations: int, lost: float, seed: int) -> None:
        self.dice = random.Random(seed)
        self.lost = lost
        self.now = 0.0
        self.stations = [ShortFrames(size, PACKET_S, self.dice.random) for _ in range(stations)]
        self.heard: list[list[bytes]] = [[] for _ in range(stations)]
        self.sent: list[bytes] = []

    def run(self, until: float = inf) -> None:
        while self.now < until:
            for station in self.stations:
                station.expire(self.now)
            senders = [number for number, one in enumerate(self.stations) if one.has_packets]
            if not senders:
                at = min(one.next_deadline() for one in self.stations)
                if at == inf:
                    return
                self.now = max(self.now, at)
                continue
            number = self.dice.choice(senders)
            packet = self.stations[number].next_packet()
            assert packet is not None
            self.sent.append(packet)
            self.now += PACKET_S * 0.8
            for other, station in enumerate(self.stations):
                if other != number and self.dice.random() >= self.lost:
                    frame = station.take(packet, self.now)
                    self.heard[other] += [frame] if frame is not None else []


@settings(deadline=None)
@given(size=st.integers(SHORTEST, MTU_MIN - 1), data=st.data())
def test_frames_of_every_size_come_whole_and_in_packets_that_fit(size: int, data: st.DataObject) -> None:
    air = Air(size, 3, 0.0, data.draw(st.integers(0, 2**32)))
    mtu = air.stations[0].mtu
    assert mtu >= MTU_MIN
    frames = [data.draw(st.binary(min_size=n, max_size=n)) for n in (1, size - 3, size - 2, mtu)]
    for frame in frames:
        air.stations[0].give(frame)
        sizes = air.stations[0].packet_sizes(len(frame))
        air.run()
        assert [len(one) for one in air.sent] == sizes and max(sizes) <= size
        air.sent.clear()
    assert air.heard == [[], frames, frames]


@pytest.mark.parametrize("size", [20, 24, 60, 135])
def test_what_is_lost_is_repeated_and_nothing_else(size: int) -> None:
    """A tenth of all packets: nearly every frame arrives, for little more than what was lost."""
    air = Air(size, 2, 0.1, 7)
    dice = random.Random(1)
    frames = [dice.randbytes(air.stations[0].mtu) for _ in range(200)]
    needed = 0
    for frame in frames:
        air.stations[0].give(frame)
        needed += len(air.stations[0].packet_sizes(len(frame)))
        air.run()
    whole = [frame for frame in frames if frame in air.heard[1]]
    assert air.heard[1] == whole
    # Lost for good is only what was lost from the first part to the last, or four times asked for in vain.
    assert len(whole) >= (195 if size < 100 else 190)
    parts = [one for one in map(parse_short_frame_untrusted, air.sent) if isinstance(one, Part)]
    asks = len(air.sent) - len(parts)
    assert len(parts) <= 1.2 * needed and asks <= 250


def test_of_many_who_miss_the_same_one_asks() -> None:
    air = Air(20, 8, 0.0, 3)
    air.stations[0].give(bytes(range(100)))
    air.lost = 1.0  # nobody hears the second part
    first = air.stations[0].next_packet()
    air.stations[0].next_packet()
    assert first is not None
    for station in air.stations[1:]:
        assert station.take(first, 0.0) is None
    air.lost = 0.0
    air.run()
    assert air.heard[1:] == [[bytes(range(100))]] * 7
    asks = [one for one in map(parse_short_frame_untrusted, air.sent) if isinstance(one, AskParts)]
    assert len(asks) == 1 and asks[0].missing == 0b10


def test_who_never_answers_is_asked_four_times_and_forgotten() -> None:
    air = Air(20, 1, 0.0, 1)
    air.stations[0].take(Part(9, 1, 0, 3, b"the first of four").encode(), 0.0)
    air.run()
    assert [parse_short_frame_untrusted(one) for one in air.sent] == [AskParts(9, 1, 0b1110)] * 4
    assert air.now < 20


def test_a_repetition_that_nobody_needed_makes_no_second_frame() -> None:
    station = ShortFrames(20, PACKET_S, random.Random(1).random)
    parts = [Part(9, 1, index, 1, bytes((index,))).encode() for index in (0, 1)]
    assert [station.take(one, 0.0) for one in (*parts, *parts)] == [None, b"\0\1", None, None]
    assert station.next_deadline() == inf


def test_asking_for_ever_costs_bounded_air() -> None:
    """Somebody who asks again and again gets each part four times on average, and no more."""
    station = ShortFrames(20, PACKET_S, lambda: 0.0)
    station.give(bytes(100))
    sent = 0
    for _ in range(100):
        while station.next_packet() is not None:
            sent += 1
        station.take(AskParts(0, 0, 0xFFFF).encode(), 0.0)
    assert sent == 6 + 4 * 6


def test_two_with_the_same_name_part() -> None:
    dice = random.Random(5)
    station = ShortFrames(20, PACKET_S, dice.random)
    station.give(b"mine")
    mine = parse_short_frame_untrusted(station.next_packet() or b"")
    assert station.take(Part(mine.sender, 1, 0, 0, b"theirs").encode(), 0.0) == b"theirs"
    station.give(b"mine again")
    assert parse_short_frame_untrusted(station.next_packet() or b"").sender != mine.sender


def test_what_comes_from_outside_costs_bounded_memory() -> None:
    dice = random.Random(2)
    station = ShortFrames(20, PACKET_S, dice.random)
    for number in range(20_000):
        station.take(Part(dice.randrange(256), number % 128, 0, 15, dice.randbytes(17)).encode(), 0.0)
        assert len(station._coming) <= 8
    for junk in (b"", b"\1\2\3", b"\1\x80\0\0", b"\1\x80\1\0\0", b"\1\1\x10\0"):
        with pytest.raises(BadWire):
            parse_short_frame_untrusted(junk)
        with pytest.raises(BadWire):
            station.take(junk, 0.0)


def test_misuse_is_loud() -> None:
    with pytest.raises(LocalError):
        ShortFrames(19, PACKET_S, random.random)
    for frame in (b"", bytes(256)):
        with pytest.raises(LocalError):
            ShortFrames(20, PACKET_S, random.random).give(frame)
