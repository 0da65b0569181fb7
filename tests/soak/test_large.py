"""Large texts at once over datagrams: a defect the UDP soak found, at its smallest."""

import random

from tests.machines.test_core import pair
from tests.machines.world import DATAGRAM


def test_n9_transfers_that_fill_the_window_together_do_not_stand_still() -> None:
    """Eight transfers in turn closed the window before any of them had asked for an acknowledgement."""
    a, b, wire = pair(DATAGRAM)
    wire.plug(0.0)
    texts = [random.Random(n).randbytes(10_000).hex() for n in range(8)]
    for text in texts:
        a.send("b", text, 0.0)
    wire.settle(0.0, 5.0)
    assert set(a.states().values()) == {"delivered"}
    assert sorted(b.inbox()) == sorted(texts)
