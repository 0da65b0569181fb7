"""Random groups: operations by admins and others on partitions that come and go, in random order, lost and
repeated. At the end everybody meets, and the promises of N11 and N12 must hold."""

import random
import zlib
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nexus_node.base.errors import BadWire, LocalError
from nexus_node.base.ids import NodeId
from nexus_node.crypto.address import address_of
from nexus_node.wire.group import Kind, Operation, OperationId, Permissions

from .groups import TIME, Person, people

PEOPLE = people(8)
KINDS = (Kind.ADD, Kind.ADD, Kind.REMOVE, Kind.ROTATE, Kind.PROMOTE, Kind.DEMOTE, Kind.LEAVE)


class World:
    """Persons, what was sealed, and what each has ever been given."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.persons = {identity.node_id: Person(identity, seed) for identity in PEOPLE}
        self.creator = self.persons[PEOPLE[0].node_id]
        self.creator.create(signed=bool(seed % 2))
        self.sides = dict.fromkeys(self.persons, 0)
        self.made: list[Operation] = [self.creator.log.create]
        self.sealed: list[tuple[OperationId, NodeId, bytes]] = []
        self.loyal = {one for one in self.persons if self.dice.random() < 0.6}
        """Those who mostly do what their own state permits; the others sign anything."""

    def near(self, who: Person) -> list[Person]:
        side = self.sides[who.node_id]
        return [one for one in self.persons.values() if self.sides[one.node_id] == side and one is not who]

    # --- steps ----------------------------------------------------------------------------------
    def act(self) -> None:
        """Somebody does something, permitted or not."""
        who = self.dice.choice([one for one in self.persons.values() if one.log is not None])
        kind = self.dice.choice(KINDS)
        subject = self.dice.choice(PEOPLE)
        state = who.log.state
        needs = {
            Kind.ROTATE: Permissions.ROTATION,
            Kind.ADD: Permissions.MEMBERS,
            Kind.REMOVE: Permissions.MEMBERS,
        }
        permitted = state.may(who.node_id, needs.get(kind, Permissions.FULL))
        if kind == Kind.LEAVE:
            permitted = who.node_id in state.members and self.dice.random() < 0.3
        if who.node_id in self.loyal and not permitted and self.dice.random() < 0.9:
            return
        fields: dict[str, object] = {}
        if kind == Kind.PROMOTE:
            fields["permissions"] = self.dice.choice(list(Permissions))
            fields["expires"] = self.dice.choice((0, 0, TIME + 5))
        alone = kind in (Kind.ROTATE, Kind.LEAVE)
        time = TIME + self.dice.randrange(10)
        try:
            operation = who.do(kind, None if alone else subject, time=time, **fields)
        except (LocalError, BadWire):  # several heads; a stranger
            return
        self.made.append(operation)

    def talk(self) -> None:
        who = self.dice.choice([one for one in self.persons.values() if one.log is not None])
        sealed = who.seal(b"%d" % len(self.sealed))
        if sealed is not None:
            self.sealed.append((sealed[0], who.node_id, sealed[1]))

    def gossip(self) -> None:
        """Somebody hears some operations of somebody near: some lost, some twice, in any order."""
        teller = self.dice.choice(list(self.persons.values()))
        listeners = self.near(teller)
        if teller.log is None or not listeners:
            return
        listener = self.dice.choice(listeners)
        heard = [one.encode() for one in teller.log.since(()) if self.dice.random() < 0.7]
        heard += [self.dice.choice(heard) for _ in range(3) if heard]
        self.dice.shuffle(heard)
        if listener.log is None:
            listener.take(teller.log.create.encode())
        for data in heard:
            listener.take(data)

    def post(self) -> None:
        """Letters within one side arrive, are lost, or stay on their way."""
        for who in self.persons.values():
            near = {one.node_id: one for one in self.near(who)}
            kept = []
            for to, epoch, secret in who.letters:
                chance = self.dice.random()
                if to in near and chance < 0.5 and near[to].take_key(epoch, secret):
                    continue
                if chance < 0.9:
                    kept.append((to, epoch, secret))
            who.letters = kept

    def part(self) -> None:
        self.sides = {one: self.dice.randrange(2) for one in self.persons}

    # --- the end --------------------------------------------------------------------------------
    def meet(self) -> None:
        """All partitions end: everybody hears all operations in an order of its own, and asks for keys."""
        data = [one.encode() for one in self.made]
        for who in self.persons.values():
            if who.log is None:
                who.take(self.creator.log.create.encode())
            mine = [*data, *self.dice.sample(data, len(data) // 2)]
            self.dice.shuffle(mine)
            for one in mine:
                who.take(one)
        for who in self.persons.values():
            for to, epoch, secret in who.letters:
                self.persons[to].take_key(epoch, secret)
            who.letters = []
        self.ask()

    def ask(self) -> None:
        """Everybody asks everybody for every key; who is asked looks whether the asker may have it."""
        for asker in self.persons.values():
            for operation in self.made:
                epoch = operation.id_in(asker.log.group)
                if not operation.kind.begins_epoch or epoch in asker.keys:
                    continue
                for other in self.persons.values():
                    secret = other.answer(asker.node_id, epoch)
                    if secret is not None and asker.take_key(epoch, secret):
                        break

    def check(self) -> None:
        states = [one.log.state for one in self.persons.values()]
        assert all(state == states[0] for state in states), "all converge"
        assert all(one.log.heads == self.creator.log.heads for one in self.persons.values())
        self.check_keys()
        self.check_authority()
        self.check_messages()
        state = states[0]
        if state.stale and state.members:
            self.rotate(state.members)

    def rotate(self, members: frozenset[NodeId]) -> None:
        """One rotation by an admin heals what is stale."""
        for who in self.persons.values():
            if who.log.state.may(who.node_id, Permissions.ROTATION):
                self.made.append(who.do(Kind.ROTATE, time=0))
                if (
                    self.made[-1].id_in(who.log.group) in who.log.state.discarded
                ):  # its certificate has expired
                    for one in self.persons.values():
                        one.take(self.made[-1].encode())
                    continue
                self.meet()
                state = self.creator.log.state
                assert not state.stale and not state.closed and state.members == members
                holders = {one.node_id for one in self.persons.values() if state.epoch in one.keys}
                assert holders == members
                return

    def check_keys(self) -> None:
        """Nobody holds the key of an epoch that began with them removed, or before they were added."""
        log = self.creator.log
        for who in self.persons.values():
            for epoch in who.keys:
                if log.author_of(epoch) != who.node_id:  # anybody can invent one
                    assert who.node_id in log.members_of(epoch), "a key in hands that it is not for"
        current = log.state
        if not current.closed:
            holders = {one.node_id for one in self.persons.values() if current.epoch in one.keys}
            removed = {
                one.node_id
                for one in self.persons.values()
                if one.node_id not in current.members
                and not any(
                    op.kind == Kind.LEAVE and log.author_of(op.id_in(log.group)) == one.node_id
                    for op in self.made
                )
            }
            assert not holders & removed, "a removed member holds the key in use"

    def check_authority(self) -> None:
        """What took effect was signed by the creator, or under a certificate that counts and permits it, that
        its author knew, and that nothing its author knew had ended. By the graph, not by the fold."""
        log = self.creator.log
        ids = [one.id_in(log.group) for one in self.made]
        known: dict[OperationId, set[OperationId]] = {}

        def ancestors(one: OperationId) -> set[OperationId]:
            if one not in known:
                parents = log.get(one).parents
                known[one] = set(parents).union(*map(ancestors, parents))
            return known[one]

        def took(one: OperationId) -> bool:
            why = log.state.discarded.get(one, "")
            return not why or why.startswith("an operation with a higher")  # it did, and lost later on

        def ends(one: OperationId, whom: NodeId) -> bool:
            operation = log.get(one)
            if operation.kind == Kind.LEAVE:
                return log.author_of(one) == whom
            return operation.kind in (Kind.REMOVE, Kind.DEMOTE) and address_of(whom) in operation.removed

        for one in set(ids):
            author, kind = log.author_of(one), log.get(one).kind
            if author == self.creator.node_id or kind == Kind.LEAVE or one in log.state.discarded:
                continue
            needs = {Kind.ROTATE: 1, Kind.ADD: 2, Kind.REMOVE: 2}.get(kind, 3)
            if kind == Kind.DEMOTE and ends(one, author):
                needs = 1
            before = [other for other in ancestors(one) if took(other)]
            under = [
                other
                for other in before
                if log.get(other).kind == Kind.PROMOTE
                and log.get(other).added == (author,)
                and log.get(other).permissions >= needs
                and not any(ends(end, author) and other in ancestors(end) for end in before)
            ]
            assert under, "no operation of somebody who is no admin takes effect"
        assert len(log.state.co_admins) <= 3

    def check_messages(self) -> None:
        """Each message is read by the members of its epoch, who wrote it shows, and by nobody else."""
        log = self.creator.log
        for epoch, sender, message in self.sealed:
            for who in self.persons.values():
                read = who.read(message)
                if who.node_id in log.members_of(epoch):
                    assert read is not None and read[0] == sender
                else:
                    assert read is None


def run(seed: int, steps: list[int]) -> None:
    world = World(zlib.crc32(bytes(steps), seed))  # what is changed a little is another run altogether
    actions: tuple[Callable[[], None], ...] = (
        world.act,
        world.act,
        world.act,
        world.talk,
        world.gossip,
        world.gossip,
        world.post,
        world.part,
    )
    for one in PEOPLE[1:5]:
        world.made.append(world.creator.do(Kind.ADD, one))
    for one, permissions in zip(
        PEOPLE[1:4], (Permissions.FULL, Permissions.FULL, Permissions.MEMBERS), strict=True
    ):
        world.made.append(world.creator.do(Kind.PROMOTE, one, permissions=permissions))
    for who in world.persons.values():
        for operation in world.made:
            who.take(operation.encode())
    for step in steps:
        actions[step % len(actions)]()
    world.meet()
    world.check()


SEEDS = st.integers(0, 2**32)
STEPS = st.lists(st.integers(0, 7), min_size=30, max_size=90)
RUNS = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@settings(RUNS, max_examples=60)
@given(SEEDS, STEPS)
def test_n12_random_operations_on_random_partitions(seed: int, steps: list[int]) -> None:
    run(seed, steps)


@pytest.mark.fuzz
@settings(RUNS, max_examples=2000)
@given(SEEDS, STEPS)
def test_n12_random_operations_on_random_partitions_at_length(seed: int, steps: list[int]) -> None:
    run(seed, steps)
