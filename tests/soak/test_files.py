"""N7: a file whose transfer is killed twenty times goes on with what is there, and little crosses twice."""

import random
import time
from pathlib import Path

import pytest

from tests.harness.nodes import RunningNode, free_port, introduce
from tests.soak.conftest import Report
from tests.soak.proxy import Tripwire

SIZE = 20_000_000
KILLS = 20
BPS = 16_000_000


class Meter(Tripwire):
    """Counts the bytes on their way to the receiver."""

    def __init__(self, target: int) -> None:
        self.bytes = 0
        super().__init__(target, receiver_dials=False)

    def _onward(self, data: bytes, drain) -> None:
        self.bytes += len(data)
        super()._onward(data, drain)


@pytest.mark.soak
def test_n7_twenty_kills_of_either_end_cost_three_in_a_hundred(tmp_path: Path, report: Report) -> None:
    port, dice = free_port(), random.Random(7)
    content = tmp_path / "content.bin"
    content.write_bytes(dice.randbytes(SIZE))
    with (
        Meter(port) as meter,
        RunningNode(tmp_path / "bob", [f"tcp listen=127.0.0.1:{port} bps={BPS}"]) as bob,
        RunningNode(tmp_path / "alice", [f"tcp connect=127.0.0.1:{meter.port} bps={BPS}"]) as alice,
    ):
        bob.start()
        alice.start()
        introduce(alice, bob)
        alice.wait_link()
        message = alice.request("send.files", to="bob", text="", files=[str(content)], min_bandwidth=0)["id"]
        kills = 0
        while kills < KILLS and alice.outbox()[0]["state"] != "delivered":
            mark = meter.bytes + 600_000 + dice.randrange(400_000)
            while meter.bytes < mark and alice.outbox()[0]["state"] != "delivered":
                time.sleep(0.01)
            victim = (bob, alice)[kills % 2]
            victim.kill9()
            victim.start()
            kills += 1
        alice.wait(message, "delivered", 120)
        (file,) = bob.inbox()[0]["attachments"]
        assert Path(file["path"]).read_bytes() == content.read_bytes()
        over = meter.bytes / SIZE - 1
        report(f"{kills} kills during {SIZE / 1e6:.0f} MB: {100 * over:.2f} % more than the file crossed")
        assert kills == KILLS
        assert over <= 0.03
