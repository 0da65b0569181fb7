"""The bridge of texts with the stock Meshtastic client as the person at the other end (N17)."""

import threading
from pathlib import Path

from tests.harness.nodes import RunningNode, free_port, wait_until

OPTIONS = ("--region", "US", "--preset", "SHORT_TURBO")
GATE, CARL = 0x0A0A0A0A, 0x0C0C0C0C


def test_texts_with_the_stock_client(peer, emulator, tmp_path: Path) -> None:
    """Each text of Carl's is answered by one of Alice's; both exact, his acknowledged by her device."""
    ports = {number: free_port() for number in (GATE, CARL)}
    for number, port in ports.items():
        emulator("meshtastic", "--tcp", f"127.0.0.1:{port}", "--node", f"{number:x}", *OPTIONS)
    with RunningNode(tmp_path / "alice", [f"meshtastic host=127.0.0.1:{ports[GATE]} bridge=true"]) as alice:
        alice.start()
        alice.request("contact.add", name="carl", uri=f"meshtastic:!{CARL:08x}")
        wait_until(lambda: alice.status()["carriers"][-1]["state"] == "listening", 15, "the device set up")
        answers = ["first \N{SNOWMAN}", "x" * 200]

        def answer() -> None:
            for number, text in enumerate(answers, 1):
                wait_until(lambda number=number: len(alice.inbox()) == number, 150, "a text of Carl's")
                alice.send("carl", text)

        person = threading.Thread(target=answer)
        person.start()
        found = peer(
            "meshtastic",
            "meshtastic_user.py",
            f"127.0.0.1:{ports[CARL]}",
            str(GATE),
            "to you: \N{LATIN SMALL LETTER E WITH ACUTE}",
            "^@alice for all to hear",
            seconds=200,
        )
        person.join()
        assert [row["text"] for row in alice.inbox()] == [
            "to you: \N{LATIN SMALL LETTER E WITH ACUTE}",
            "@alice for all to hear",
        ]
        assert {(row["from"], row["end_to_end"]) for row in alice.inbox()} == {("carl", False)}
        assert found["heard"] == [[GATE, CARL, text] for text in answers]
        assert found["acks"][-1] == [GATE, "NONE"]
        wait_until(lambda: all(row["state"] == "sent" for row in alice.outbox()), 10, "both sent")
        assert [row["facts"][-1]["by"] for row in alice.outbox()] == [
            "the radio of !0c0c0c0c has acknowledged it"
        ] * 2
