"""The bridge of texts without radios: what goes, what is shown, what is claimed (N17, docs/bridge.md)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_node.base.errors import InputError
from nexus_node.base.foreign import foreign_id, foreign_number, foreign_uri, is_foreign, parse_foreign
from nexus_node.engine.bridge import PART_MAX, PARTS_MAX, split_text
from nexus_node.ports.driver import ForeignText, TextFate

from .world import Host, introduce

CARL = foreign_id(0x0C0C0C0C)


class Gate(Host):
    """A host with a radio that a test plays, and Carl among its contacts."""

    def start(self, now: float) -> None:
        super().start(now)
        self.core.bridge._own_name = "alice"
        self.rung = 0
        self.core.bridge.radios.append(self.ring)
        if self.core.contacts.find("carl") is None:
            self.core.contacts.add("carl", "meshtastic:!0c0c0c0c", 0)
            self.core.commit()

    def ring(self) -> None:
        self.rung += 1

    def take(self, now: float) -> tuple[bytes, int] | None:
        """What a radio takes."""
        part = self.core.bridge.next_part(now)
        if part is None:
            return None
        self.core.bridge.took(part, now)
        assert self.core.bridge.next_part(now) is None or part.to != CARL
        return part.text, part.token

    def fate(self, token: int, fate: TextFate, words: str = "meshtastic:/dev/x", now: float = 0.0) -> None:
        self.core.bridge.fate(token, fate, words, now)

    def hears(self, text: str, *, number: int = 7, direct: bool = True, sender: bytes = CARL) -> None:
        self.core.bridge.deliver(ForeignText(sender, "C", number, text.encode(), direct), 0.0)
        self.drain()

    def facts(self, message: bytes) -> list[tuple[str, str]]:
        return [(fact.state.value, fact.by) for fact in self.store.facts(message)]


def test_facts_are_what_is_known_and_no_more() -> None:
    gate = Gate(1)
    message = gate.send("carl", "hello", 0.0)
    text, token = gate.take(0.0)
    assert text == b"hello"
    gate.fate(token, TextFate.TAKEN)
    gate.fate(token, TextFate.REPEATED)
    assert gate.states() == {message: "sent"}
    gate.fate(token, TextFate.ACKNOWLEDGED)
    assert gate.facts(message) == [
        ("queued", ""),
        ("sent", "meshtastic:/dev/x"),
        ("sent", "a relay was heard repeating it"),
        ("sent", "the radio of !0c0c0c0c has acknowledged it"),
    ]
    assert gate.take(0.0) is None
    # Nothing that comes over a link is a receipt for it, and it does not expire.
    assert gate.store.find_by_mark(bytes(16)) is None
    gate.core.expire(40 * 86400.0)
    assert gate.states() == {message: "sent"}
    assert gate.store.recipients() == []


def test_parts_go_one_after_the_other_and_each_is_acknowledged() -> None:
    gate = Gate(1)
    message = gate.send("carl", "word " * 90, 0.0)
    other = gate.send("carl", "after it", 0.0)
    words = b""
    for number in (1, 2, 3):
        text, token = gate.take(0.0)
        assert text.startswith(b"%d/3 " % number)
        words += text[4:]
        assert gate.states()[message] == "queued"
        gate.fate(token, TextFate.TAKEN)
        gate.fate(token, TextFate.ACKNOWLEDGED)
    assert words.decode() == "word " * 90
    assert [by for _, by in gate.facts(message)][-1] == "the radio of !0c0c0c0c has acknowledged it"
    text, token = gate.take(0.0)
    assert (text, gate.states()[other]) == (b"after it", "queued")


def test_without_an_acknowledgement_it_is_only_sent() -> None:
    gate = Gate(1)
    message = gate.send("carl", "word " * 60, 0.0)
    _, token = gate.take(0.0)
    gate.fate(token, TextFate.TAKEN)
    gate.core.expire(61.0)
    _, token = gate.take(61.0)
    gate.fate(token, TextFate.TAKEN, now=61.0)
    gate.fate(token, TextFate.ACKNOWLEDGED, now=61.0)
    assert [by for _, by in gate.facts(message)] == ["", "meshtastic:/dev/x"]
    assert gate.take(61.0) is None


def test_tries_are_bounded_each_is_a_new_packet_and_hearing_them_is_a_reason() -> None:
    gate = Gate(1)
    message = gate.send("carl", "hello", 0.0)
    now, tokens, pauses = 0.0, set(), []
    for _ in range(5):
        _, token = gate.take(now)
        tokens.add(token)
        gate.fate(token, TextFate.TAKEN, now=now)
        gate.fate(token, TextFate.RETRY, "nobody was heard", now)
        assert gate.take(now) is None
        if len(tokens) == 3:
            gate.hears("I am here", number=len(tokens))
            assert gate.rung
            continue
        begun = now
        while gate.core.bridge.next_part(now) is None:
            now = max(now + 0.001, gate.core.wake_at)
            gate.core.expire(now)
        pauses.append(round(now - begun))
    _, token = gate.take(now)
    gate.fate(token, TextFate.RETRY, "nobody was heard", now)
    assert len(tokens | {token}) == 6
    assert pauses == [60, 120, 480, 960]
    assert gate.states() == {message: "failed"}
    assert gate.facts(message)[-1] == ("failed", "given up after 6 tries: nobody was heard")


def test_what_can_never_go_fails_with_the_reason() -> None:
    gate = Gate(1)
    message = gate.send("carl", "hello", 0.0)
    _, token = gate.take(0.0)
    gate.fate(token, TextFate.REFUSED, "no channel fits")
    assert gate.facts(message)[-1] == ("failed", "no channel fits")


def test_a_restart_sends_what_was_queued_as_the_same_packet_and_nothing_that_was_sent(tmp_path) -> None:
    gate = Gate(1, tmp_path / "db")
    first, second = gate.send("carl", "one", 0.0), gate.send("carl", "two", 0.0)
    _, token = gate.take(0.0)
    gate.crash(0.0)
    text, again = gate.take(0.0)
    assert (text, again) == (b"one", token)
    gate.fate(again, TextFate.TAKEN)
    gate.core.commit()
    gate.crash(0.0)
    assert gate.take(0.0)[0] == b"two"
    assert gate.states() == {first: "sent", second: "queued"}


def test_a_radio_that_goes_leaves_the_text_to_the_next() -> None:
    gate = Gate(1)
    gate.send("carl", "one", 0.0)
    _, token = gate.take(0.0)
    gate.core.bridge.back(token)
    assert gate.take(0.0) == (b"one", token)


def test_a_text_is_shown_once_and_outlasts_a_kill(tmp_path) -> None:
    gate = Gate(1, tmp_path / "db")
    gate.hears("hello")
    gate.hears("hello")
    assert gate.core.counters["duplicates"] == 1
    assert [event.event for event in gate.events].count("message_received") == 1
    gate.crash(0.0)
    gate.hears("hello")
    gate.hears("hello", number=8)
    assert gate.inbox() == ["hello", "hello"]


def test_who_and_what_is_let_in() -> None:
    gate = Gate(1)
    gate.hears("for everybody", direct=False)
    gate.hears("@alice: for me", direct=False)
    gate.hears("@alicea no", direct=False)
    gate.hears("hello", sender=foreign_id(0x0D0D0D0D))
    gate.hears("", direct=True)
    gate.core.bridge.deliver(ForeignText(CARL, "C", 99, b"\xff\x00broken", True), 0.0)
    assert gate.inbox() == ["@alice: for me", "\ufffd\x00broken"]
    assert (gate.core.counters["bridge_overheard"], gate.core.counters["bridge_strangers"]) == (2, 1)


def test_a_full_store_takes_neither_the_text_nor_what_it_would_send_on() -> None:
    gate, bob = Gate(1, quota=400), Host(2)
    introduce(gate, bob)
    gate.hears("@b " + "x" * 200)
    assert gate.inbox() == []
    assert gate.states() == {}
    assert gate.core.counters["refused_store_full"] == 1
    assert "message_received" not in [event.event for event in gate.events]


def test_a_link_for_nobodys_key_is_no_contact_and_opens_no_envelope() -> None:
    gate = Gate(1)
    assert CARL not in list(gate.core.contacts.candidates(gate.identity.node_id))
    for wrong in (
        "meshtastic:",
        "meshtastic:!ffffffff",
        "meshtastic:00000000",
        "meshtastic:xyz",
        "meshtastic:!12",
    ):
        with pytest.raises(InputError, match="names no Meshtastic node"):
            gate.core.contacts.add("eve", wrong, 0)
    with pytest.raises(InputError, match="no key that could be trusted"):
        gate.core.contacts.trust("carl", "trusted")
    with pytest.raises(InputError, match="no bandwidth"):
        gate.send("carl", "hello", 0.0, min_bandwidth=9)


@given(st.binary(max_size=240), st.booleans(), st.sampled_from([CARL, foreign_id(5)]))
def test_no_text_does_harm(raw: bytes, direct: bool, sender: bytes) -> None:
    gate = Gate(1)
    gate.core.bridge.deliver(ForeignText(sender, "\x1b[2J", 1, raw, direct), 0.0)
    gate.core.bridge.deliver(ForeignText(sender, "", 1, b"@" + raw, direct), 0.0)
    gate.drain()
    assert len(gate.inbox()) <= 2


@given(st.integers(1, 0xFFFFFFFE))
def test_names_of_the_foreign_round_trip(number: int) -> None:
    node_id = foreign_id(number)
    assert is_foreign(node_id)
    assert foreign_number(node_id) == number
    assert parse_foreign(foreign_uri(node_id)) == node_id


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=400))
def test_parts_lose_nothing_and_fit(text: str) -> None:
    try:
        parts = split_text(text)
    except InputError:
        assert len(text.encode()) > (PARTS_MAX - 1) * PART_MAX // 2
        return
    assert all(len(part) <= PART_MAX for part in parts)
    bodies = parts if len(parts) == 1 else [part.partition(b" ")[2] for part in parts]
    assert "".join(body.decode() for body in bodies) == text
