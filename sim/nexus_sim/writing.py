"""Who writes texts to whom in a run, and when."""

import random
import string

import trio

from nexus_sim.record import Record
from nexus_sim.scenario import Scenario, Texts
from nexus_sim.world import SimNode, World

_LETTERS = string.ascii_lowercase + "     "


class Writer:
    """Writes the texts of a scenario. A node that is off writes nothing."""

    def __init__(self, scenario: Scenario, world: World, record: Record, begin: float) -> None:
        """`begin` is when the run began."""
        self._world = world
        self._record = record
        self._begin = begin
        self._end_s = scenario.duration_s - scenario.settle_s

    async def now_and_then(self, texts: Texts, dice: random.Random) -> None:
        """Texts at random times."""
        senders = texts.senders or tuple(self._world.nodes)
        if not texts.per_hour:
            return
        at = texts.start_s
        while True:
            at += dice.expovariate(texts.per_hour * len(senders) / 3600)
            if at >= min(texts.end_s, self._end_s):
                return
            await trio.sleep_until(self._begin + at)
            self._write(texts, dice.choice(senders), dice)

    def at_start(self, texts: Texts, sender: str, dice: random.Random) -> None:
        """The text of a node that has just been switched on."""
        if texts.start_s <= trio.current_time() - self._begin < min(texts.end_s, self._end_s):
            self._write(texts, sender, dice)

    def _write(self, texts: Texts, name: str, dice: random.Random) -> None:
        """One text, whose letters no other has."""
        sender = self._world.nodes[name]
        others = [one for one in texts.recipients or self._world.nodes if one != name]
        letters = "".join(dice.choices(_LETTERS, k=dice.randint(*texts.size)))
        if not others or sender.running is None:
            return
        for one in others if texts.to_all else [dice.choice(others)]:
            self._send(sender, self._world.nodes[one], letters, texts.min_bandwidth)

    def _send(self, sender: SimNode, recipient: SimNode, text: str, min_bandwidth: int) -> None:
        self._record.expect(sender.name, recipient.name, text, trio.current_time(), min_bandwidth)
        message_id = sender.send(recipient, text, min_bandwidth=min_bandwidth).hex()
        self._record.accepted(message_id)
