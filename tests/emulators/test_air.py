"""The simulated air: who hears whom, when, and what collides."""

from nexus_firmware.emulate.air import Channel, Ether, Transmission

CHANNEL = Channel(868_100_000, 125_000, 7, 0x12)


class Radio:
    def __init__(self, channel=CHANNEL):
        self.channel = channel
        self.heard = []
        self.busy = []

    def sense(self, until, now):
        self.busy.append((now, until))

    def hear(self, heard, now):
        self.heard.append((heard.payload, now))


def world(count=3, **options):
    ether = Ether(**options)
    radios = [Radio() for _ in range(count)]
    for radio in radios:
        ether.join(radio)
    return ether, radios


def packet(payload, channel=CHANNEL, preamble=8):
    return Transmission(channel, payload, 5, preamble)


def test_everybody_alike_hears_a_packet_when_it_ends():
    ether, (a, b, c) = world()
    c.channel = CHANNEL._replace(sync_word=0x2B)
    one = packet(b"hello")
    ether.transmit(a, one, 5.0)
    ends = 5.0 + one.airtime
    assert ether.next_deadline() == ends
    assert b.busy == [(5.0, ends)] and a.busy == c.busy == []
    ether.advance(ends - 0.001)
    assert b.heard == []
    ether.advance(ends)
    assert b.heard == [(b"hello", ends)]
    assert a.heard == c.heard == []
    assert ether.next_deadline() is None


def test_overlap_loses_both_and_a_sender_hears_nothing():
    ether, (a, b, c) = world()
    ether.transmit(a, packet(b"1" * 40), 0.0)
    ether.transmit(b, packet(b"2" * 40), 0.02)
    ether.advance(1.0)
    assert a.heard == b.heard == c.heard == []


def test_a_packet_whose_preamble_is_touched_only_at_its_start_is_read():
    ether, (a, b, c) = world()
    first, second = packet(b"first"), packet(b"second", preamble=16)
    ether.transmit(a, first, 0.0)
    ether.transmit(b, second, first.airtime - 0.005)
    ether.advance(1.0)
    assert [payload for payload, _ in c.heard] == [b"first", b"second"]
    assert [payload for payload, _ in a.heard] == []


def test_who_tunes_away_or_leaves_hears_nothing():
    ether, (a, b, c) = world()
    ether.transmit(a, packet(b"x"), 0.0)
    b.channel = None
    ether.leave(c)
    ether.advance(1.0)
    assert b.heard == c.heard == []


def test_back_to_back_packets_do_not_collide():
    ether, (a, b, _) = world()
    one = packet(b"one", preamble=8)
    ether.transmit(a, one, 0.0)
    ether.transmit(a, packet(b"two"), one.airtime)
    ether.advance(1.0)
    assert [payload for payload, _ in b.heard] == [b"one", b"two"]


def test_news_of_a_packet_may_come_late():
    """From another process: what counts is when it was on the air."""
    ether, (a, b, _) = world()
    first, second = packet(b"first"), packet(b"second")
    ether.transmit(None, first, 0.0)
    # Told of 10 ms late, while by the clock of this process the first is over for long.
    ether.transmit(None, second, first.airtime)
    ether.advance(1.0)
    assert [payload for payload, _ in b.heard] == [b"first", b"second"]
    # One's own packet, sent when the other was over, makes nobody deaf to it.
    ether.transmit(a, packet(b"mine"), 2.0)
    ether.transmit(None, first, 2.0 - 2 * first.airtime)
    ether.advance(3.0)
    assert [payload for payload, _ in a.heard][-1] == b"first"


def test_loss_is_drawn_for_each_receiver():
    draws = iter([True, False])
    ether, (a, b, c) = world(lost=lambda: next(draws))
    ether.transmit(a, packet(b"x"), 0.0)
    ether.advance(1.0)
    assert b.heard == [] and len(c.heard) == 1


def test_packets_from_elsewhere_are_heard_by_all():
    ether, radios = world()
    ether.transmit(None, packet(b"x"), 0.0)
    ether.advance(1.0)
    assert all(len(radio.heard) == 1 for radio in radios)
