"""Who writes texts to whom in a run, and when."""

import random
import string
from collections.abc import Callable

import trio

from nexus_node.crypto.filestream import KEY_SIZE
from nexus_node.engine.attach import seal_attachment
from nexus_sim.clock import EPOCH_S, SeededRng
from nexus_sim.company import Company
from nexus_sim.record import Record
from nexus_sim.scenario import Scenario
from nexus_sim.world import SimNode, World

_LETTERS = string.ascii_lowercase + "     "


class Writer:
    """Writes the texts of a scenario, each [[texts]] by its number. A node that is off writes nothing."""

    def __init__(
        self,
        scenario: Scenario,
        world: World,
        record: Record,
        dice: Callable[[str], random.Random],
        begin: float,
    ) -> None:
        """`begin` is when the run began; `dice` gives a generator for each purpose."""
        self._scenario = scenario
        self._world = world
        self._record = record
        self._begin = begin
        self._dice = dice
        self._end_s = scenario.duration_s - scenario.settle_s
        self._companies: dict[int, Company] = {}
        for number, texts in enumerate(scenario.texts):
            if texts.group:
                names = dict.fromkeys((*(texts.senders or world.nodes), *(texts.recipients or world.nodes)))
                members = [world.nodes[one].identity for one in names]
                rng = SeededRng(dice(f"group {number}").getrandbits(64))
                self._companies[number] = Company(f"group {number}", members, rng, time=int(EPOCH_S))
        self._circles: dict[tuple[int, str], list[str]] = {}

    async def now_and_then(self, number: int) -> None:
        """Texts at random times."""
        texts, dice = self._scenario.texts[number], self._dice(f"texts {number}")
        senders = texts.senders or tuple(self._world.nodes)
        if not texts.per_hour:
            return
        at = texts.start_s
        while True:
            at += dice.expovariate(texts.per_hour * len(senders) / 3600)
            if at >= min(texts.end_s, self._end_s):
                return
            await trio.sleep_until(self._begin + at)
            self._write(number, dice.choice(senders), dice)

    def started(self, name: str) -> None:
        """A node has been switched on: what it writes then."""
        node = self._world.nodes[name].node
        for company in self._companies.values():
            company.join(node.core, node.now())
        now_s = trio.current_time() - self._begin
        for number, texts in enumerate(self._scenario.texts):
            due = texts.at_start and texts.start_s <= now_s < min(texts.end_s, self._end_s)
            if due and name in (texts.senders or self._world.nodes):
                self._write(number, name, self._dice(f"texts {number} {name} {now_s}"))

    def _write(self, number: int, name: str, dice: random.Random) -> None:
        """One text, whose letters no other has."""
        texts, sender = self._scenario.texts[number], self._world.nodes[name]
        others = self._circle(number, name)
        letters = "".join(dice.choices(_LETTERS, k=dice.randint(*texts.size)))
        if not others or sender.running is None:
            return
        if texts.group:
            node = sender.node
            message_id = node.core.groups.send(self._companies[number].name, letters, node.now()).hex()
            self._record.accepted_for(message_id, name, others, letters, trio.current_time())
            node.core.commit()
            node.pump.after()
            return
        for one in others if texts.to_all else [dice.choice(others)]:
            if texts.photo != (0, 0):
                photo = dice.randbytes(dice.randint(*texts.photo))
                self._send_photo(sender, self._world.nodes[one], letters, photo, texts.min_bandwidth)
            else:
                self._send(sender, self._world.nodes[one], letters, texts.min_bandwidth)

    def _send_photo(
        self, sender: SimNode, recipient: SimNode, text: str, photo: bytes, min_bandwidth: int
    ) -> None:
        file = seal_attachment(
            "photo.jpg",
            photo,
            media_type="image/jpeg",
            key=sender.node.core.random_bytes(KEY_SIZE),
            min_bandwidth=min_bandwidth or None,
        )
        needed = file.description.min_bandwidth
        self._record.expect(sender.name, recipient.name, text, trio.current_time(), needed)
        message_id = sender.send(recipient, text, files=[file]).hex()
        self._record.accepted(message_id, file.header.id.hex(), photo)

    def _circle(self, number: int, name: str) -> list[str]:
        """Whom a sender writes to."""
        found = self._circles.get((number, name))
        if found is None:
            texts = self._scenario.texts[number]
            found = [one for one in texts.recipients or self._world.nodes if one != name]
            if 0 < texts.circle < len(found):
                found = self._dice(f"circle {number} {name}").sample(found, texts.circle)
            self._circles[number, name] = found
        return found

    def _send(self, sender: SimNode, recipient: SimNode, text: str, min_bandwidth: int) -> None:
        self._record.expect(sender.name, recipient.name, text, trio.current_time(), min_bandwidth)
        message_id = sender.send(recipient, text, min_bandwidth=min_bandwidth).hex()
        self._record.accepted(message_id)
