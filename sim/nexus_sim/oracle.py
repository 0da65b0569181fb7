"""The upper bound on a contact trace: what flooding with unlimited buffers and bandwidth would deliver.

A message crosses a contact in no time, so that in one instant it passes any number of contacts that last
then: earliest arrival over all contacts, as the oracle of Jain, Fall and Patra, "Routing in a delay
tolerant network", SIGCOMM 2004, without limits.
"""

from collections import defaultdict

from nexus_sim.traces import Message, Step, Trace


def oracle(trace: Trace, ttl_s: float) -> dict[str, float]:
    """Delays in seconds, by message id, of all messages that could arrive within `ttl_s`."""
    number = {one: 1 << bit for bit, one in enumerate(trace.messages)}
    by_number = {bit: one for one, bit in number.items()}
    carried: dict[str, int] = defaultdict(int)
    wanted: dict[str, int] = defaultdict(int)
    near: dict[str, set[str]] = defaultdict(set)
    delays: dict[str, float] = {}
    for one, bit in number.items():
        wanted[one.dst] |= bit

    def spread(person: str, messages: int, now: float) -> None:
        """Give a person messages, and what is new to them to whoever is near, and so on."""
        giving = [(person, messages)]
        while giving:
            person, messages = giving.pop()
            new = messages & ~carried[person]
            if new:
                carried[person] |= new
                giving += [(other, new) for other in near[person]]
            arrived = new & wanted[person]
            while arrived:
                message = by_number[arrived & -arrived]
                arrived &= arrived - 1
                delays[message.id] = now - message.t

    for now, step, what in trace.timeline():
        if isinstance(what, Message):
            spread(what.src, number[what], now)
        elif step is Step.END:
            near[what.a].discard(what.b)
            near[what.b].discard(what.a)
        else:
            near[what.a].add(what.b)
            near[what.b].add(what.a)
            spread(what.a, carried[what.b], now)
            spread(what.b, carried[what.a], now)
    return {name: delay for name, delay in delays.items() if delay <= ttl_s}
