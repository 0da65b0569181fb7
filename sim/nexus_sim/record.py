"""What happens to the messages of a run, and every breach of what must always hold.

The invariants are checked on what nodes say of themselves, never on what they mean.
"""

from collections import Counter
from dataclasses import dataclass, field

from nexus_node.base.states import State
from nexus_node.engine.events import Event
from nexus_node.wire.routing import PREFIX_SIZE

TELLING, _LOOKED_FOR = 16, 16
"""Characters of a text, and bytes of a photo, that are looked for on air and wires, and how many such are."""


@dataclass(slots=True)
class Sent:
    """One message of the run."""

    id: str
    sender: str
    recipient: str
    text: str
    sent_s: float
    min_bandwidth: int = 0
    photo: str | None = None
    """The object of the photo attached to it."""
    received_s: float | None = None
    photo_s: float | None = None
    """When all of the photo was there."""
    times: int = 0
    """How often its recipient was shown it."""
    state: State = State.QUEUED
    why: str = ""
    """Why it has not arrived, at the end."""
    photo_why: str = ""
    """Why its photo has not."""

    @property
    def here(self) -> bool:
        """Whether it has arrived, its photo too."""
        return self.received_s is not None and (self.photo is None or self.photo_s is not None)


@dataclass(slots=True)
class Record:
    """Messages by id, and every breach of what must hold, in words."""

    messages: dict[str, Sent] = field(default_factory=dict)
    breaches: list[str] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    """Why messages were turned away meanwhile."""
    under_way: dict[str, bytes] = field(default_factory=dict)
    """The latest texts and beginnings of photos that have not arrived, of those long enough not to occur by
    chance; by message or object."""
    photos: dict[str, Sent] = field(default_factory=dict)
    """Messages by the objects of their photos."""
    files: dict[bytes, Sent] = field(default_factory=dict)
    """The same by the prefix that parts of the photo go under."""
    heads: list[bytes] = field(default_factory=list)
    """The beginnings of all photos."""
    of_groups: dict[str, list[Sent]] = field(default_factory=dict)
    """Messages to groups, by their ids: one for each member, with an id of its own here."""
    _early: dict[str, tuple[float, str]] = field(default_factory=dict)
    """What was called delivered before it had arrived, when, and the breach."""
    _expected: Sent | None = None

    def expect(self, sender: str, recipient: str, text: str, now: float, min_bandwidth: int) -> None:
        """A message is about to be sent."""
        self._expected = Sent("", sender, recipient, text, now, min_bandwidth)

    def accepted(self, message_id: str, photo: str | None = None, content: bytes = b"") -> None:
        """Its sender's node has accepted it, under that id, and a photo of that content with it."""
        if self._expected is not None:
            self._expected.id = message_id
            self._expected.photo = photo
            self.messages[message_id] = self._expected
            self._look_for(message_id, self._expected.text.encode())
            if photo is not None:
                self.photos[photo] = self.files[bytes.fromhex(photo)[:PREFIX_SIZE]] = self._expected
                if self._look_for(photo, content[:TELLING]):
                    self.heads.append(content[:TELLING])
            self._expected = None

    def _look_for(self, name: str, content: bytes) -> bool:
        """Have it looked for while it is under way, if it cannot be there by chance."""
        if len(content) < TELLING:
            return False
        self.under_way[name] = content
        if len(self.under_way) > _LOOKED_FOR:
            del self.under_way[next(iter(self.under_way))]
        return True

    def accepted_for(
        self, message_id: str, sender: str, recipients: list[str], text: str, now: float
    ) -> None:
        """A sender's node has accepted a text to a group under that id."""
        self.of_groups[message_id] = []
        for one in recipients:
            self.expect(sender, one, text, now, 0)
            self.accepted(_id_at(message_id, one))
            self.of_groups[message_id].append(self.messages[_id_at(message_id, one)])

    def told(self, name: str, event: Event, now: float) -> None:
        """An event of a node."""
        if event.event == "message_received":
            name_of = str(event.fields["id"])
            message = self.messages.get(_id_at(name_of, name) if name_of in self.of_groups else name_of)
            if message is None or message.recipient != name:
                self.breaches.append(f"{name} was shown a message that nobody sent to it, at {now:.3f} s")
                return
            message.times += 1
            self.under_way.pop(message.id, None)
            if message.times > 1:
                self.breaches.append(f"{name} was shown message {message.id} twice, at {now:.3f} s")
            elif message.received_s is None:
                message.received_s = now
                self._excuse(message, now)
        elif event.event == "file_received" and str(event.fields["object"]) in self.photos:
            message = self.photos[str(event.fields["object"])]
            message.photo_s = now
            self.under_way.pop(str(event.fields["object"]), None)
            self._excuse(message, now)
        elif event.event == "message_state":
            message_id, state = str(event.fields["id"]), State(str(event.fields["state"]))
            for one in self.of_groups.get(message_id, ()):
                self._state(name, one.id, state, now)
            self._state(name, message_id, state, now)
        elif event.event == "message_refused":
            self.refusals[str(event.fields["why"]).partition(";")[0]] += 1

    def _state(self, name: str, message_id: str, state: State, now: float) -> None:
        message = self.messages.get(message_id)
        if message is None or message.sender != name:
            return
        if state.rank < message.state.rank:
            self.breaches.append(
                f"message {message_id} went back from {message.state.value} to {state.value}, at {now:.3f} s"
            )
        message.state = max(message.state, state, key=lambda one: one.rank)
        if state in (State.DELIVERED, State.READ) and not message.here:
            breach = f"message {message_id} is called {state.value} before it has arrived, at {now:.3f} s"
            self.breaches.append(breach)
            self._early[message_id] = now, breach

    def _excuse(self, message: Sent, now: float) -> None:
        """Where nothing takes any time, whose event comes first is chance."""
        at, breach = self._early.get(message.id, (None, ""))
        if message.here and at == now:
            self.breaches.remove(breach)


def _id_at(message_id: str, recipient: str) -> str:
    return f"{message_id} {recipient}"
