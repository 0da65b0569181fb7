"""Groups on whole engines: who is in, who reads, who is away, and what a crash leaves (N11, N12, M6)."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest

from nexus_node.base.errors import InputError
from nexus_node.base.foreign import foreign_id, foreign_uri
from nexus_node.base.limits import GROUP_INVITATIONS_MAX
from nexus_node.base.states import State
from nexus_node.ports.groups import Standing
from nexus_node.wire.group import GroupId, Kind, OperationId, Permissions
from nexus_node.wire.groupitem import EPOCH_SIZE, Ask, Lack, Operations, Sealed, encode_group_items

from .mesh import Mesh

DAY_S = 24 * 3600.0


def friends(
    *names: str, folder: Path | None = None, relays: tuple[str, ...] = (), signed: bool = False, wires=True
) -> Mesh:
    """The first has made a group with the others, all of whom are joined and know each other."""
    mesh = Mesh(*names, *relays, relays=relays, folder=folder)
    for name in names:
        mesh.knows(name, *(one for one in (*names, *relays) if one != name), trust="trusted")
    for relay in relays:
        mesh.knows(relay, *names, trust="trusted")
    if wires:
        for a, b in combinations((*names, *relays), 2):
            mesh.join(a, b)
        mesh.run(2)
    first, *others = names
    mesh[first].core.groups.create("friends", mesh.now, signed=signed)
    for one in others:
        act(mesh, first, "add", one)
    mesh.run(5)
    return mesh


def act(mesh: Mesh, who: str, verb: str, *args: object, **options: object) -> None:
    core = mesh[who].core
    core._now = mesh.now
    getattr(core.groups, verb)("friends", *args, mesh.now, **options)
    core.commit()


def say(mesh: Mesh, who: str, text: str) -> bytes:
    core = mesh[who].core
    core._now = mesh.now
    message = core.groups.send("friends", text, mesh.now)
    core.commit()
    return message


def state(mesh: Mesh, who: str):
    return mesh[who].core.groups.get("friends").state


def members(mesh: Mesh, who: str) -> set[str]:
    named = {host.identity.node_id: name for name, host in mesh.hosts.items()}
    return {named[one] for one in state(mesh, who).members}


@pytest.mark.parametrize("signed", [False, True])
def test_n11_a_group_talks(signed: bool) -> None:
    mesh = friends("anna", "ben", "carl", signed=signed)
    for name in ("anna", "ben", "carl"):
        assert members(mesh, name) == {"anna", "ben", "carl"}
        assert state(mesh, name) == state(mesh, "anna")
    message = say(mesh, "ben", "hello, all")
    assert mesh["ben"].core.groups.state_of(message) is State.QUEUED
    mesh.run(5)
    assert mesh["anna"].inbox() == mesh["carl"].inbox() == ["hello, all"] and not mesh["ben"].inbox()
    row = next(iter(mesh["carl"].store.inbox()))
    assert row.id == message and row.sender == mesh["ben"].identity.node_id
    assert mesh["carl"].store.group_of(row.id) == state(mesh, "anna").group
    assert mesh["ben"].core.groups.state_of(message) is State.DELIVERED
    told = [one.fields for one in mesh["ben"].events if one.event == "message_state"]
    assert [one["state"] for one in told if one["id"] == message.hex()] == ["queued", "sent", "delivered"]
    assert not list(mesh["ben"].store.outbox()), "letters go once they have arrived"
    received = [one.fields for one in mesh["anna"].events if one.event == "message_received"]
    assert received[0]["group"] == "friends"


def test_n11_once_all_have_the_key_its_secret_goes() -> None:
    mesh = friends("anna", "ben", "carl")
    epoch = state(mesh, "anna").epoch
    secrets = {name: mesh[name].core.groups.get("friends").keys[epoch].secret for name in mesh.hosts}
    assert secrets["anna"] is None and secrets["ben"] is not None
    say(mesh, "anna", "all have it")
    mesh.run(5)
    assert all(host.core.groups.get("friends").keys[epoch].secret is None for host in mesh.hosts.values())
    for number, name in enumerate(("ben", "carl", "anna") * 2):
        say(mesh, name, f"still {number}")
    mesh.run(5)
    assert len(mesh["ben"].inbox()) == 5 and len(mesh["anna"].inbox()) == 4


def test_n11_who_is_added_reads_nothing_earlier_and_who_is_removed_nothing_later() -> None:
    mesh = friends("anna", "ben", "carl")
    act(mesh, "anna", "remove", "carl")
    mesh.run(5)
    say(mesh, "ben", "without Carl")
    mesh.run(5)
    assert mesh["anna"].inbox() == ["without Carl"] and not mesh["carl"].inbox()
    assert mesh["carl"].core.groups.get("friends").group.standing is Standing.LEFT
    with pytest.raises(InputError, match="no member"):
        say(mesh, "carl", "may I?")
    act(mesh, "anna", "add", "carl")
    mesh.run(5)
    assert mesh["carl"].core.groups.get("friends").group.standing is Standing.MEMBER
    say(mesh, "ben", "with Carl")
    mesh.run(5)
    assert mesh["carl"].inbox() == ["with Carl"]
    room = mesh["carl"].core.groups.get("friends")
    number = room.log.epoch_number
    assert sorted(number(epoch) for epoch in room.keys) == [3, 5]  # added in one go, so 2 was told to nobody


def test_m5_a_crash_anywhere_loses_nothing(tmp_path: Path) -> None:
    mesh = friends("anna", "ben", folder=tmp_path)
    message = say(mesh, "anna", "before")
    for name in ("anna", "ben"):
        mesh.crash(name)
    mesh.join("anna", "ben")
    mesh.run(70)
    assert mesh["ben"].inbox() == ["before"]
    assert mesh["anna"].core.groups.state_of(message) is State.DELIVERED
    act(mesh, "anna", "rotate")
    mesh.crash("anna")
    mesh.join("anna", "ben")
    mesh.run(70)
    assert state(mesh, "ben") == state(mesh, "anna")
    for number in range(3):
        say(mesh, "ben", f"after {number}")
        mesh.run(2)
        mesh.crash("ben")
        mesh.join("anna", "ben")
        mesh.run(20)
    assert mesh["anna"].inbox() == ["after 0", "after 1", "after 2"]


def test_n12_only_those_with_the_permission_may() -> None:
    mesh = friends("anna", "ben", "carl", "dora")
    for verb, args in (("remove", ("carl",)), ("rotate", ()), ("demote", ("anna",))):
        with pytest.raises(InputError):
            act(mesh, "ben", verb, *args)
    act(mesh, "anna", "promote", "ben", Permissions.ROTATION)
    mesh.run(3)
    act(mesh, "ben", "rotate")
    with pytest.raises(InputError, match="permission members"):
        act(mesh, "ben", "remove", "carl")
    mesh.run(3)
    act(mesh, "anna", "promote", "ben", Permissions.FULL)
    mesh.run(3)
    act(mesh, "ben", "remove", "dora")
    act(mesh, "ben", "promote", "carl", Permissions.MEMBERS)
    mesh.run(3)
    assert members(mesh, "carl") == {"anna", "ben", "carl"} and len(state(mesh, "carl").co_admins) == 2
    before = len(mesh["ben"].core.groups.get("friends").log)
    with pytest.raises(InputError, match="may not demote"):
        act(mesh, "ben", "remove", "anna")
    with pytest.raises(InputError, match="may not demote"):
        act(mesh, "ben", "promote", "anna", Permissions.ROTATION)
    with pytest.raises(InputError, match="may not demote"):
        act(mesh, "carl", "remove", "ben")
    assert len(mesh["ben"].core.groups.get("friends").log) == before, "what takes no effect is not signed"


def test_n12_a_co_admin_with_nobody_junior_to_it_promotes_no_fourth() -> None:
    mesh = friends("anna", "ben", "carl", "dora", "eve")
    for name in ("carl", "dora", "ben"):
        act(mesh, "anna", "promote", name, Permissions.FULL)
    mesh.run(3)
    before = len(mesh["ben"].core.groups.get("friends").log)
    with pytest.raises(InputError, match="3 co-admins"):
        act(mesh, "ben", "promote", "eve", Permissions.MEMBERS)
    assert len(mesh["ben"].core.groups.get("friends").log) == before
    act(mesh, "carl", "promote", "eve", Permissions.MEMBERS)
    mesh.run(3)
    named = {host.identity.node_id: name for name, host in mesh.hosts.items()}
    assert [named[one.node_id] for one in state(mesh, "anna").co_admins] == ["carl", "dora", "eve"]


def test_n11_who_comes_with_a_link_to_a_full_group_costs_no_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = friends("anna", "ben", "carl")
    monkeypatch.setattr("nexus_node.engine.group_admin.GROUP_MEMBERS_MAX", 3)
    mesh.hosts["dora"] = Mesh("dora", seed=1)["dora"]
    mesh.join("anna", "dora")
    mesh.knows("anna", "dora")
    before = state(mesh, "anna")
    uri, _ = mesh["anna"].core.groups.invite("friends", mesh.now, ttl_s=3600)
    mesh["dora"].core.groups.join(uri, mesh.now)
    mesh["dora"].core.commit()
    mesh.run(5)
    assert state(mesh, "anna") == before and mesh["anna"].core.counters["group_joins_refused"] == 1
    with pytest.raises(InputError, match="takes no more"):
        act(mesh, "anna", "add", "dora")
    assert state(mesh, "anna") == before


def test_n12_a_group_that_takes_no_more_operations_ends_no_node(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = friends("anna", "ben", "carl")
    most = len(mesh["anna"].core.groups.get("friends").log) + 1
    monkeypatch.setattr("nexus_node.proto.group.GROUP_OPERATIONS_MAX", most)
    act(mesh, "carl", "leave")
    mesh.run(200)  # an admin that would rotate now
    assert members(mesh, "anna") == {"anna", "ben"} and state(mesh, "anna").stale
    assert mesh["anna"].core.counters["group_rotations_failed"] > 0
    with pytest.raises(InputError, match="make a new one"):
        act(mesh, "anna", "rotate")
    say(mesh, "ben", "we go on")
    mesh.run(5)
    assert mesh["anna"].inbox() == ["we go on"]
    act(mesh, "ben", "leave")
    assert mesh["ben"].core.groups.get("friends").group.standing is Standing.LEFT


def test_n12_a_certificate_that_has_expired_is_good_for_nothing() -> None:
    mesh = friends("anna", "ben", "carl")
    act(mesh, "anna", "promote", "ben", Permissions.MEMBERS, expires_s=3600)
    mesh.run(3)
    act(mesh, "ben", "rotate")
    mesh.run(3700)
    with pytest.raises(InputError, match="expired"):
        act(mesh, "ben", "rotate")
    with pytest.raises(InputError, match="seconds at most"):
        act(mesh, "anna", "promote", "carl", Permissions.MEMBERS, expires_s=10**10)
    mesh["anna"].core.wall.trusted = lambda now: False
    with pytest.raises(InputError, match="clock"):
        act(mesh, "anna", "promote", "carl", Permissions.MEMBERS, expires_s=3600)


def test_n11_a_strangers_invitation_waits_a_contacts_does_not() -> None:
    mesh = Mesh("anna", "ben", "carl")
    mesh.knows("anna", "ben", "carl")
    mesh.knows("ben", "anna")
    for one in ("ben", "carl"):
        mesh.join("anna", one)
    mesh["anna"].core.groups.create("friends", 0.0)
    for one in ("ben", "carl"):
        act(mesh, "anna", "add", one)
    mesh.run(5)
    say(mesh, "anna", "welcome")
    mesh.run(5)
    assert mesh["ben"].inbox() == ["welcome"]
    carl = mesh["carl"].core.groups.get("friends")
    assert carl.group.standing is Standing.INVITED and not mesh["carl"].inbox()
    assert any(one.event == "group_invited" for one in mesh["carl"].events)
    with pytest.raises(InputError, match="group accept friends"):
        say(mesh, "carl", "hello")
    act(mesh, "carl", "accept")
    mesh.run(5)
    assert mesh["carl"].inbox() == ["welcome"]
    say(mesh, "carl", "hello")
    mesh.run(5)
    assert mesh["anna"].inbox() == ["hello"]


def test_n11_strangers_keep_no_contact_out_and_what_nobody_explains_goes() -> None:
    mesh = Mesh("anna", "ben", "eve")
    mesh.knows("ben", "anna")
    mesh.knows("anna", "ben")
    for pair in (("anna", "ben"), ("eve", "ben")):
        mesh.join(*pair)
    ben, eve = mesh["ben"].core.groups, mesh["eve"].identity.node_id
    for number in range(GROUP_INVITATIONS_MAX + 1):
        made_up = encode_group_items([Sealed(GroupId(bytes([number]) * 16), b"\x03" + bytes(60))])
        ben.take(eve, made_up, mesh.now)
    assert len(mesh["ben"].store.groups()) == GROUP_INVITATIONS_MAX
    mesh["anna"].core.groups.create("friends", mesh.now)
    act(mesh, "anna", "add", "ben")
    mesh.run(5)
    assert members(mesh, "ben") == {"anna", "ben"}
    mesh.leave("ben")
    mesh.run(31 * DAY_S)
    assert [one.name for one in mesh["ben"].store.groups()] == ["friends"]
    assert not ben._asks.any, "and nobody asks about it for ever"


def test_n11_who_leaves_is_out_and_an_admin_rotates_by_itself() -> None:
    mesh = friends("anna", "ben", "carl")
    before = state(mesh, "anna").epoch_number
    act(mesh, "carl", "leave")
    mesh.run(5)
    assert members(mesh, "ben") == {"anna", "ben"}
    assert state(mesh, "ben").epoch_number == before + 1 and not state(mesh, "ben").stale
    say(mesh, "ben", "among us")
    mesh.run(5)
    assert mesh["anna"].inbox() == ["among us"] and not mesh["carl"].inbox()


def test_n11_the_creator_off_for_good_and_a_co_admin_goes_on() -> None:
    mesh = friends("anna", "ben", "carl", "dora")
    act(mesh, "anna", "promote", "ben", Permissions.MEMBERS)
    mesh.run(5)
    mesh.leave("anna")
    mesh.leave("dora")
    act(mesh, "ben", "remove", "carl")
    mesh.run(5)
    say(mesh, "ben", "for Dora too")
    mesh.run(3600)
    assert not mesh["dora"].inbox()
    mesh.join("ben", "dora")
    mesh.run(120)
    assert mesh["dora"].inbox() == ["for Dora too"] and members(mesh, "dora") == {"anna", "ben", "dora"}
    assert not mesh["carl"].inbox()


def test_n12_rotations_on_both_sides_of_a_partition_heal_to_one_epoch() -> None:
    mesh = friends("anna", "ben", "carl", "dora")
    for one in ("ben", "carl"):
        act(mesh, "anna", "promote", one, Permissions.FULL)
    mesh.run(5)
    sides = (("anna", "ben"), ("carl", "dora"))
    for a in sides[0]:
        for b in sides[1]:
            mesh.part(a, b)
    act(mesh, "ben", "rotate")
    act(mesh, "carl", "rotate")
    mesh.run(5)
    say(mesh, "anna", "on one side")
    say(mesh, "dora", "on the other")
    mesh.run(5)
    assert state(mesh, "anna").epoch != state(mesh, "dora").epoch
    for a in sides[0]:
        for b in sides[1]:
            mesh.join(a, b)
    mesh.run(120)
    states = [state(mesh, name) for name in mesh.hosts]
    assert all(one == states[0] for one in states)
    winner = mesh["anna"].core.groups.get("friends").log.author_of(states[0].epoch)
    loser = "carl" if winner == mesh["ben"].identity.node_id else "ben"
    told = [one.fields for one in mesh[loser].events if one.event == "group_discarded"]
    assert [(one["group"], one["operation"]) for one in told] == [("friends", "rotate")]
    for name in ("ben", "carl"):
        assert sorted(mesh[name].inbox()) == ["on one side", "on the other"]
    say(mesh, "dora", "together")
    mesh.run(5)
    assert all("together" in mesh[name].inbox() for name in ("anna", "ben", "carl"))


def test_n11_away_for_forty_days_and_then_asks() -> None:
    """What was sent to Dora has expired; any member tells her, and the key comes with it."""
    mesh = friends("anna", "ben", "carl", "dora")
    act(mesh, "anna", "promote", "ben", Permissions.MEMBERS)
    mesh.run(5)
    for name in ("anna", "ben", "carl"):
        mesh.part(name, "dora")
    act(mesh, "ben", "remove", "carl")
    mesh.run(10)
    for pair in (("anna", "ben"), ("anna", "carl"), ("ben", "carl")):
        mesh.part(*pair)
    mesh.run(40 * DAY_S)
    assert not list(mesh["ben"].store.letters())
    say(mesh, "ben", "who is there?")
    mesh.join("ben", "dora")
    mesh.run(300)
    assert mesh["dora"].inbox() == ["who is there?"] and members(mesh, "dora") == {"anna", "ben", "dora"}


@pytest.mark.parametrize("restarted", [False, True])
def test_n11_who_was_away_has_the_messages_of_an_author_who_has_gone_from_any_member(
    restarted: bool, tmp_path: Path
) -> None:
    """Carl is away for a month; Anna writes, the key changes, and she goes for good. Ben hands on what
    she wrote, and to each only what was sealed for it."""
    mesh = friends("anna", "ben", "carl", "dora", folder=tmp_path)
    act(mesh, "anna", "promote", "ben", Permissions.MEMBERS)
    mesh.run(5)
    say(mesh, "anna", "before")
    mesh.run(5)
    act(mesh, "anna", "remove", "dora")
    mesh.run(5)
    for name in ("anna", "ben"):
        mesh.part(name, "carl")
    wrote = [f"{number} {mesh.dice.getrandbits(800)}" for number in range(40)]
    for number, text in enumerate(wrote):
        say(mesh, "anna", text)
        if number in (10, 30):
            act(mesh, "ben", "rotate")
        mesh.run(5)
    for name in ("anna", "dora"):
        mesh.leave(name)
    mesh.run(29 * DAY_S)
    if restarted:
        mesh.crash("carl")
    mesh.wires.clear()
    mesh.join("ben", "carl")
    mesh.run(1200)
    assert sorted(mesh["carl"].inbox()) == sorted(["before", *wrote])
    assert not mesh["carl"].core.groups._catch_up._searches, "and then it asks no more"
    mesh.join("ben", "dora")
    act(mesh, "ben", "add", "dora")
    mesh.run(5)
    room = mesh["ben"].core.groups.get("friends")
    dora = mesh["dora"].identity.node_id
    before = len(list(mesh["ben"].store.letters()))
    mesh["ben"].core.groups._catch_up.answer(room, dora, Lack(room.group.id, ()), mesh.now)
    handed = len(list(mesh["ben"].store.letters())) - before
    mesh.run(60)
    assert mesh["dora"].inbox() == ["before"] and handed == 1
    mesh.leave("ben")
    mesh.run(31 * DAY_S)
    assert not mesh["ben"].store.kept_group_messages(room.group.id)


def test_n11_what_is_asked_for_is_bounded_and_nothing_comes_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nexus_node.engine.group_room.LACK_MAX", 60)
    mesh = friends("anna", "ben", "carl")
    before, later = [f"{number} before" for number in range(9)], [f"{number} later" for number in range(9)]
    for number, text in enumerate((*before, *later)):
        if text == later[0]:
            for name in ("anna", "ben"):
                mesh.part(name, "carl")
        act(mesh, "anna", "rotate")
        mesh.run(2)
        say(mesh, ("anna", "ben")[number % 2], text)
        mesh.run(5)
    mesh.leave("anna")
    mesh.run(DAY_S)
    mesh.join("ben", "carl")  # who wrote the half of what is missing, and whose letters are the first to come
    sizes = []
    answer = mesh["ben"].core.groups._catch_up.answer
    mesh["ben"].core.groups._catch_up.answer = lambda room, asker, lack, now: (
        sizes.append(len(lack.encode())),
        answer(room, asker, lack, now),
    )
    mesh.run(1800)
    assert max(sizes) <= 16 + 60 + 8 and len(sizes) > 4
    assert sorted(mesh["carl"].inbox()) == sorted([*before, *later])
    assert not mesh["carl"].core.counters["duplicates"]


def test_n11_a_key_that_is_asked_for_a_thousand_times_over_goes_once() -> None:
    mesh = friends("anna", "ben", "carl")
    groups, epoch = mesh["ben"].core.groups, state(mesh, "ben").epoch
    room = groups.get("friends")
    assert room.secret_for(mesh["carl"].identity.node_id, epoch) is not None
    mesh.run(600)
    before = len(list(mesh["ben"].store.outbox()))
    ask = Ask(room.group.id, tuple(room.log.heads), (epoch[:EPOCH_SIZE],) * 1000)
    groups._take_ask(mesh["carl"].identity.node_id, ask, mesh.now)
    assert len(list(mesh["ben"].store.outbox())) == before + 1


def test_n11_who_comes_and_goes_asks_once_an_hour() -> None:
    mesh = friends("anna", "ben")
    catch_up = mesh["ben"].core.groups._catch_up
    returns: list[float] = []
    returned = catch_up.returned

    def count(group: GroupId, now: float) -> None:
        returns.append(now)
        returned(group, now)

    catch_up.returned = count
    catch_up.returned(state(mesh, "ben").group, mesh.now)
    for _ in range(12):
        mesh.part("anna", "ben")
        mesh.run(400)
        mesh.join("anna", "ben")
        mesh.run(400)
    assert 2 <= len(returns) <= 4, "once an hour"


def test_m6_a_message_before_its_key_waits_and_is_read_when_it_comes() -> None:
    mesh = friends("anna", "ben", "carl")
    carl = mesh["carl"].core.groups
    take_key, take_operations = carl._take_key, carl._take_operations
    carl._take_key = lambda *args: None
    carl._take_operations = lambda *args: None
    act(mesh, "anna", "rotate")
    mesh.run(1)
    message = say(mesh, "ben", "in the new epoch")
    mesh.run(1)
    assert mesh["ben"].core.groups.state_of(message) is State.DELIVERED
    assert not mesh["carl"].inbox() and len(carl._store.held_group_messages(state(mesh, "carl").group)) == 1
    carl._take_key, carl._take_operations = take_key, take_operations
    mesh.run(200)
    assert mesh["carl"].inbox() == ["in the new epoch"]
    assert not carl._store.held_group_messages(state(mesh, "carl").group)


def test_m6_what_waits_is_bounded_survives_a_crash_and_is_marked_failed_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nexus_node.engine.group_reader.GROUP_WAITING_MAX", 3)
    mesh = friends("anna", "ben", "carl", folder=tmp_path)
    group = state(mesh, "carl").group

    def without_keys(*texts: str) -> list[bytes]:
        carl = mesh["carl"].core.groups
        carl._take_key = carl._take_operations = lambda *args: None
        act(mesh, "anna", "rotate")
        mesh.run(1)
        said = [say(mesh, "ben", text) for text in texts]
        mesh.run(1)
        return said

    def failed() -> list[str]:
        return [one.fields["id"] for one in mesh["carl"].events if one.event == "group_message_failed"]

    said = without_keys("0", "1", "2", "3")
    held = [one.id for one in mesh["carl"].store.held_group_messages(group)]
    assert held == said[1:] and failed() == [said[0].hex()], "the oldest made room"
    mesh.crash("carl")
    assert [one.id for one in mesh["carl"].store.held_group_messages(group)] == held
    for name in ("anna", "ben"):
        mesh.join(name, "carl")
    mesh.run(300)
    assert set(mesh["carl"].inbox()) >= {"1", "2", "3"}
    assert not mesh["carl"].store.held_group_messages(group)
    (never,) = without_keys("never")
    mesh.leave("carl")
    mesh.run(31 * DAY_S)
    assert failed()[-1] == never.hex() and "never" not in mesh["carl"].inbox()
    assert not mesh["carl"].store.held_group_messages(group)


def test_n10_a_relay_keeps_a_groups_letters() -> None:
    mesh = friends("anna", "ben", "carl", relays=("rita",))
    for name in ("anna", "ben", "rita"):
        mesh.part("carl", name)
    say(mesh, "anna", "for Carl as well")
    mesh.run(10)
    mesh.leave("anna")
    mesh.leave("ben")
    mesh.join("carl", "rita")
    mesh.run(60)
    assert mesh["carl"].inbox() == ["for Carl as well"]


def test_n11_a_group_link_joins_who_has_it_until_it_is_over() -> None:
    mesh = Mesh("anna", "ben", "carl", "dora")
    mesh.knows("anna", "ben")
    mesh.knows("ben", "anna")
    for one in ("ben", "carl", "dora"):
        mesh.join("anna", one)
    mesh.run(2)
    mesh["anna"].core.groups.create("friends", mesh.now)
    act(mesh, "anna", "add", "ben")
    mesh.run(3)
    groups = mesh["anna"].core.groups
    uri, _ = groups.invite("friends", mesh.now, ttl_s=3600)
    assert groups.invite("friends", mesh.now, ttl_s=60)[0] == uri
    with pytest.raises(InputError, match="may add members"):
        mesh["ben"].core.groups.invite("friends", mesh.now, ttl_s=60)

    def join(who: str, link: str) -> None:
        mesh[who].core._now = mesh.now
        mesh[who].core.groups.join(link, mesh.now)
        mesh[who].core.commit()
        mesh.run(5)

    join("carl", uri.upper())
    assert members(mesh, "anna") == {"anna", "ben", "carl"} == members(mesh, "carl")
    say(mesh, "carl", "I have a link")
    mesh.run(3)
    assert mesh["ben"].inbox() == ["I have a link"]
    with pytest.raises(InputError, match="already"):
        join("carl", uri)
    newer, _ = groups.invite("friends", mesh.now, ttl_s=3600, renew=True)
    join("dora", uri)
    assert members(mesh, "anna") == {"anna", "ben", "carl"} and groups._counters["group_joins_refused"] == 1
    mesh.run(3700)
    join("dora", newer)
    assert groups._counters["group_joins_refused"] == 2
    join("dora", groups.invite("friends", mesh.now, ttl_s=60)[0])
    assert members(mesh, "dora") == {"anna", "ben", "carl", "dora"}


def test_names_of_contacts_and_groups_do_not_meet() -> None:
    mesh = friends("anna", "ben")
    core = mesh["anna"].core
    with pytest.raises(InputError, match="contact 'ben'"):
        core.groups.create("ben", mesh.now)
    with pytest.raises(InputError, match="group 'friends'"):
        core.contacts.add("friends", mesh["ben"].uri, 0)
    for name in ("", " x", "a\nb", "x" * 65):
        with pytest.raises(InputError, match="1 to 64"):
            core.groups.create(name, mesh.now)


def test_n11_who_is_no_node_is_no_member() -> None:
    """What has no key cannot be written to, and what goes to Meshtastic is not sealed for anybody."""
    mesh = friends("anna", "ben")
    anna, log = mesh["anna"], mesh["ben"].core.groups.get("friends").log
    for number in (1, 0xAABBCCDD):  # the bytes of the second happen to be a key
        anna.core.contacts.add(f"m{number}", foreign_uri(foreign_id(number)), 0)
        with pytest.raises(InputError, match="is no Nexus node"):
            act(mesh, "anna", "add", f"m{number}")
        bad = log.make(anna.identity, Kind.ADD, time=0, commitment=bytes(16), added=(foreign_id(number),))
        lost = log.make(anna.identity, Kind.ROTATE, time=0, commitment=bytes(16))
        late = replace(lost, parents=(OperationId(bytes(16)),)).sign(anna.identity, log.group)
        told = Operations(log.group, (bad.encode(), late.encode()))
        mesh["ben"].core.groups.take(mesh["anna"].identity.node_id, encode_group_items([told]), mesh.now)
    mesh.run(4 * 3600)  # whoever lacks an operation asks all members in turn
    assert members(mesh, "ben") == {"anna", "ben"} == members(mesh, "anna")
