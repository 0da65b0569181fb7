"""The text side of a Meshtastic device: what is handed up, what an answer means (radio.md 1.3, 1.5; M6)."""

import pytest

from nexus_firmware.meshtastic_events import BROADCAST, Ack, AckKind, Packet, QueueStatus
from nexus_firmware.meshtastic_texts import PAUSE_S, Outcome, TextHeard, Texts

ME, CARL = 0x0A0A0A0A, 0x0C0C0C0C


def a_packet(payload: bytes = b"hi", sender: int = CARL, to: int = ME) -> Packet:
    return Packet(sender, to, 0, 1, payload, 5, 0, None, None, None, False)


def said(texts: Texts) -> list[tuple[int, Outcome]]:
    found = [(number, outcome) for number, outcome, _ in texts.outcomes]
    texts.outcomes.clear()
    return found


def test_texts_to_this_node_and_to_all_are_heard_and_no_others() -> None:
    texts = Texts()
    for packet in (
        a_packet(),
        a_packet(to=BROADCAST),
        a_packet(to=77),
        a_packet(sender=ME),
        a_packet(b""),
    ):
        texts.take_packet(packet, ME)
    assert list(texts.heard) == [TextHeard(CARL, 5, b"hi", True), TextHeard(CARL, 5, b"hi", False)]
    for _ in range(1000):
        texts.take_packet(a_packet(), ME)
    assert len(texts.heard) == 64


def test_a_text_is_taken_then_repeated_then_acknowledged() -> None:
    texts = Texts()
    texts.sent(9, 1.0)
    assert texts.next_at == 1.0 + PAUSE_S
    texts.take_status(QueueStatus(14, 16, 0, 8))
    assert said(texts) == []
    texts.take_status(QueueStatus(14, 16, 0, 9))
    texts.take_status(QueueStatus(14, 16, 0, 9))
    assert said(texts) == [(9, Outcome.TAKEN)]
    assert texts.take_ack(Ack(9, AckKind.IMPLICIT, 0, ME))
    assert said(texts) == [(9, Outcome.REPEATED)]
    assert texts.take_ack(Ack(9, AckKind.EXPLICIT, 0, CARL))
    assert said(texts) == [(9, Outcome.ACKNOWLEDGED)]
    assert not texts.take_ack(Ack(9, AckKind.EXPLICIT, 0, CARL))


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (5, Outcome.RETRY),
        (9, Outcome.RETRY),
        (38, Outcome.RETRY),
        (39, Outcome.RETRY),
        (35, Outcome.RETRY),
        (7, Outcome.REFUSED),
        (6, Outcome.REFUSED),
        (99, Outcome.RETRY),
    ],
)
def test_a_refusal_by_its_kind(error: int, outcome: Outcome) -> None:
    for refuse in (
        lambda texts: texts.take_status(QueueStatus(14, 16, error, 9)),
        lambda texts: texts.take_ack(Ack(9, AckKind.REFUSED, error, ME)),
    ):
        texts = Texts()
        texts.sent(9, 0.0)
        refuse(texts)
        refuse(texts)
        assert said(texts) == [(9, outcome)]


def test_a_device_that_does_not_refuse_has_it() -> None:
    texts = Texts()
    texts.sent(9, 0.0)
    texts.expire(14.9)
    assert said(texts) == []
    assert texts.next_deadline() == 15.0
    texts.expire(15.0)
    assert said(texts) == [(9, Outcome.TAKEN)]
    assert texts.next_deadline() is None
    for number in range(1000):
        texts.sent(number, 20.0)
    texts.expire(40.0)
    assert len(said(texts)) == 64
