"""Files between real processes (N7, N13): held on a radio until there is Wi-Fi, and resumed after kill -9."""

import filecmp
import random
import time
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

from PIL import Image

from nexus_node.client.errors import ControlError, NodeNotRunning
from tests.e2e.shell import ask, nexus
from tests.e2e.test_radio import SET
from tests.harness.nodes import RunningNode, free_port, introduce, tcp_pair, wait_until
from tests.harness.pictures import picture
from tests.radio.bench import two_radios
from tests.soak.proxy import Tripwire


def photo(folder: Path, size: int = 400_000) -> Path:
    path = folder / "photo.jpg"
    path.write_bytes(random.Random(size).randbytes(size))
    return path


def attached(node: RunningNode) -> dict:
    (row,) = node.inbox()
    (file,) = row["attachments"]
    return file


def test_n13_a_photo_is_held_on_lora_and_goes_by_itself_over_wifi(tmp_path: Path) -> None:
    here, later = free_port(), free_port()
    content = photo(tmp_path)
    with two_radios(tmp_path, "rnode") as (a, b):
        alice_carriers = [f"rnode port={a.link} {SET}", f"tcp connect=127.0.0.1:{later}"]
        bob_carriers = [f"rnode port={b.link} {SET}", f"tcp listen=127.0.0.1:{here}"]
        with (
            RunningNode(tmp_path / "alice", alice_carriers) as alice,
            RunningNode(tmp_path / "bob", bob_carriers) as bob,
        ):
            alice.start()
            bob.start()
            introduce(alice, bob)
            alice.wait(alice.send("bob", "hello"), "delivered", 60)
            sent = ask(alice.home, "send", "bob", "look", "--file", str(content))[0]
            wait_until(lambda: len(bob.inbox()) == 2, 20, "the text and what is said of the photo")
            (file,) = bob.inbox()[1]["attachments"]
            assert (file["name"], file["size"], file["path"]) == ("photo.jpg", 400_000, None)
            assert file["state"] == "waiting"
            wait_until(lambda: alice.outbox()[1]["state"] == "held", 20, "held")
            row = alice.outbox()[1]
            assert row["held"]["needs_bps"] == 10_000
            assert 1000 < row["held"]["best_bps"] < 10_000
            assert "needs 10.0 kbit/s" in nexus(alice.home, "outbox").out
            (radio, _) = alice.status()["carriers"]
            used = radio["tx_bytes"]
            with _wifi(here, later):
                wait_until(lambda: _is_up(alice, "tcp"), 20, "the fast link")
                alice.wait(sent["id"], "delivered", 5)
                (file,) = bob.inbox()[1]["attachments"]
                assert file["state"] == "complete"
                assert Path(file["path"]).read_bytes() == content.read_bytes()
            (radio, _) = alice.status()["carriers"]
            assert radio["tx_bytes"] - used < 600  # not one chunk of it
            states = [fact["state"] for fact in alice.outbox()[1]["facts"]]
            assert states == ["queued", "held", "sent", "delivered"]


def test_n13_a_preview_of_an_image_goes_ahead(tmp_path: Path) -> None:
    real = tmp_path / "real.jpg"
    real.write_bytes(picture(1600, 1200, quality=95))
    with tcp_pair(tmp_path) as (alice, bob):
        wait = ("--min-bandwidth", "4000000000", "--json")
        assert nexus(alice.home, "send", "bob", "look", "--file", str(real), *wait).code == 0
        wait_until(lambda: bob.inbox(), 20, "what is said of the photo")
        file = attached(bob)
        assert file["state"] == "waiting"
        kind, _, data = file["preview"].partition(";base64,")
        preview = b64decode(data)
        assert kind == "data:image/webp" and len(preview) <= 700
        assert Image.open(BytesIO(preview)).size == (64, 48)


def test_a_file_is_declined_and_another_cancelled(tmp_path: Path) -> None:
    content = photo(tmp_path, 4_000_000)
    with tcp_pair(tmp_path, bps=4_000_000) as (alice, bob):
        for turn, verb in enumerate(("decline", "cancel")):
            sent = ask(alice.home, "send", "bob", verb, "--file", str(content))[0]
            wait_until(lambda t=turn: coming(bob, t)["bytes_done"] > 200_000, 30, "some of it")
            file = coming(bob, turn)
            if verb == "decline":
                assert file["object"][:16] in nexus(bob.home, "inbox").out
                done = ask(bob.home, "decline", file["object"][:16])[0]
                assert (done["object"], done["state"]) == (file["object"], "declined")
                refused = nexus(alice.home, "send", "bob", "x", "--wait", "delivered")
                assert refused.code == 0
            else:
                assert ask(alice.home, "cancel", sent["id"][:16])[0]["state"] == "failed"
            wait_until(lambda t=turn: coming(bob, t)["state"] in ("declined", "withdrawn"), 10, "told")
            wait_until(lambda s=sent: state_of(alice, s["id"]) == "failed", 10, "its sender told")
            assert coming(bob, turn)["bytes_done"] == 0
            assert bob.status()["store"]["bytes"] < 50_000
            assert alice.status()["store"]["bytes"] < 50_000
        (first, _, second) = (row["facts"][-1]["by"] for row in alice.outbox())
        assert (first, second) == ("declined by the recipient", "cancelled here")
        assert "declined by the recipient" in nexus(alice.home, "outbox").out
        assert "nothing left" in nexus(alice.home, "cancel", sent["id"]).refusal(1)
        assert "no file" in nexus(bob.home, "decline", "00" * 8).refusal(1)


def coming(node: RunningNode, number: int) -> dict:
    """The file of so many messages with files before it; empty while it is not here."""
    files = [row["attachments"][0] for row in node.inbox() if row["attachments"]]
    return files[number] if number < len(files) else {"bytes_done": 0, "state": ""}


def state_of(node: RunningNode, message: str) -> str:
    return next(row["state"] for row in node.outbox() if row["id"] == message)


def _is_up(node: RunningNode, scheme: str) -> bool:
    return any(
        link["carrier"].startswith(scheme) and link["state"] == "up" for link in node.status()["links"]
    )


def _wifi(target: int, port: int) -> Tripwire:
    """From now on something answers on `port`: the same as on `target`."""
    return Tripwire(target, receiver_dials=False, port=port)


def test_n7_a_transfer_killed_again_and_again_goes_on_where_it_was(tmp_path: Path) -> None:
    content = photo(tmp_path, 4_000_000)
    with tcp_pair(tmp_path, bps=16_000_000) as (alice, bob):
        message = ask(alice.home, "send", "bob", "look", "--file", str(content), "--min-bandwidth", "0")[0]
        for turn in range(4):
            wait_until(lambda least=turn: bob_has(bob) > 700_000 * (least + 1), 30, "some of it")
            victim = (bob, alice)[turn % 2]
            victim.kill9()
            victim.start()
        alice.wait(message["id"], "delivered", 40)
        assert Path(attached(bob)["path"]).read_bytes() == content.read_bytes()
        assert len(bob.inbox()) == 1


def bob_has(bob: RunningNode) -> int:
    rows = bob.inbox()
    return rows[0]["attachments"][0]["bytes_done"] if rows else 0


def test_n7_get_gives_a_file_that_came_as_it_was(tmp_path: Path) -> None:
    content = photo(tmp_path, 50_000)
    with tcp_pair(tmp_path) as (alice, bob):
        done = nexus(
            alice.home,
            "send",
            "bob",
            "",
            "--file",
            str(content),
            "--file",
            str(content),
            "--wait",
            "delivered",
        )
        assert done.code == 0, done.err
        (row,) = ask(bob.home, "inbox")
        assert [file["state"] for file in row["attachments"]] == ["complete", "complete"]
        out = tmp_path / "out.jpg"
        assert nexus(bob.home, "get", row["attachments"][0]["object"], "-o", str(out)).code == 0
        assert out.read_bytes() == content.read_bytes()


def test_n7_what_was_read_makes_room_and_can_still_be_had(tmp_path: Path) -> None:
    """Ten megabytes through a store of two: what lies in the owner's folder need not lie in the store."""
    with tcp_pair(tmp_path) as (alice, bob):
        assert bob.terminate() == 0
        config = bob.home / "config.toml"
        text = config.read_text()
        assert "# quota_mb = 512" in text
        config.write_text(text.replace("# quota_mb = 512", "quota_mb = 2"))
        bob.start()
        files = []
        for number in range(6):
            content = tmp_path / f"{number}.bin"
            content.write_bytes(random.Random(number).randbytes(1_700_000))
            sent = ask(alice.home, "send", "bob", "x", "--file", str(content), "--min-bandwidth", "0")[0]
            alice.wait(sent["id"], "delivered", 30)
            files.append((content, bob.inbox()[-1]["attachments"][0]))
        rows = [row["attachments"][0] for row in bob.inbox()]
        for (content, file), row in zip(files, rows, strict=True):
            assert file["state"] == row["state"] == "complete"
            assert row["bytes_done"] == 1_700_000
            assert Path(row["path"]).read_bytes() == content.read_bytes()
        assert bob.status()["store"]["bytes"] <= 2_000_000
        content, file = files[0]
        out = tmp_path / "out.bin"
        got = ask(bob.home, "get", file["object"], "-o", str(out))[0]
        assert out.read_bytes() == content.read_bytes()
        assert got["object"] == file["object"] and got["chunks_have"] == got["chunks_total"] == 416


def test_n7_objects_that_fill_the_store_can_be_let_go_of(tmp_path: Path) -> None:
    with RunningNode(tmp_path / "alice") as alice:
        config = alice.home / "config.toml"
        config.write_text(config.read_text().replace("# quota_mb = 512", "quota_mb = 1"))
        alice.start()
        content = photo(tmp_path, 1_000_000)
        (blob,) = ask(alice.home, "put", str(content))
        assert "nexus remove" in nexus(alice.home, "publish", "key:01", "x").refusal(1)
        (gone,) = ask(alice.home, "remove", blob["object"])
        assert gone == blob and alice.status()["store"]["bytes"] == 0
        (published,) = ask(alice.home, "publish", "key:01", "x")
        assert "was published" in nexus(alice.home, "remove", published["object"]).refusal(1)
        assert "there is no object" in nexus(alice.home, "remove", blob["object"]).refusal(1)
        assert "64 hex digits" in nexus(alice.home, "remove", "xx").refusal(2)
        alice.kill9()
        alice.start()
        assert [row["kind"] for row in ask(alice.home, "objects")] == ["published"]


def peak_mb(node: RunningNode) -> float:
    """The most memory a node's process has had."""
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1000


def put_and_get(folder: Path, size: int) -> tuple[float, int, float]:
    """Put a file and get it again. The node's peak of memory in MB, how often it answered meanwhile, and the
    longest it took to, as a share of it all."""
    content, out = folder / "large.bin", folder / "out.bin"
    dice = random.Random(1)
    with content.open("wb") as file:
        for _ in range(size // 1_000_000):
            file.write(dice.randbytes(1_000_000))
    with RunningNode(folder / "alice") as alice:
        config = alice.home / "config.toml"
        config.write_text(config.read_text().replace("# quota_mb = 512", "quota_mb = 2000"))
        alice.start()
        with alice.control(600) as control, ThreadPoolExecutor(1) as pool:
            began, spans = time.monotonic(), []
            put = pool.submit(control.request, "put", {"path": str(content)})
            while not put.done():
                asked = time.monotonic()
                alice.status()
                spans.append(time.monotonic() - asked)
                time.sleep(0.02)
            took = time.monotonic() - began
            stored = put.result()
            assert stored["size"] == size
            control.request("get", {"object": stored["object"], "path": str(out)})
        assert filecmp.cmp(content, out, shallow=False)
        return peak_mb(alice), len(spans), max(spans) / took


def test_n7_a_large_file_is_put_in_little_memory_and_the_node_goes_on(tmp_path: Path) -> None:
    peak, answers, longest = put_and_get(tmp_path, 100_000_000)
    assert peak < 100
    assert answers > 5
    assert longest < 0.5


def test_n7_what_a_kill_leaves_of_files_that_were_not_sent_yet_goes_after_a_day(tmp_path: Path) -> None:
    content = photo(tmp_path, 40_000_000)
    with tcp_pair(tmp_path) as (alice, _), alice.control(60) as control, ThreadPoolExecutor(1) as pool:
        mail = {"to": "bob", "text": "x", "files": [str(content)] * 8, "min_bandwidth": 4 * 10**9}
        sending = pool.submit(control.request, "send.files", mail)
        wait_until(lambda: any(one["chunks_have"] for one in alice.stream("objects")), 30, "some of them")
        alice.kill9()
        assert isinstance(sending.exception(), NodeNotRunning | ControlError)
        alice.start()
        assert alice.outbox() == []
        left = alice.stream("objects")
        assert left
        for one in left:
            assert 0 < one["expires_ms"] - one["created_ms"] <= 24 * 3600 * 1000
        sent = alice.request("send.files", **mail | {"files": [str(content)]})
        (row,) = alice.outbox()
        assert row["id"] == sent["id"]
        (kept,) = [one for one in alice.stream("objects") if one["object"] == row["files"][0]["object"]]
        assert kept["expires_ms"] is None and kept["chunks_have"] == kept["chunks_total"]


def test_bad_files_are_refused_with_words(tmp_path: Path) -> None:
    with tcp_pair(tmp_path) as (alice, _):
        large = tmp_path / "large.bin"
        with large.open("wb") as file:
            file.truncate(50_000_001)
        words = nexus(alice.home, "send", "bob", "x", "--file", str(large)).refusal(1)
        assert "50000000" in words
        assert "large.bin" in words
        gone = nexus(alice.home, "send", "bob", "x", "--file", str(tmp_path / "none.jpg"))
        assert gone.code == 2
        assert "none.jpg" in gone.err
        assert alice.outbox() == []


def test_n7_a_mutable_object_between_real_processes(tmp_path: Path) -> None:
    page, copy = tmp_path / "page", tmp_path / "copy"
    with tcp_pair(tmp_path) as (alice, bob):
        page.write_bytes(b"first")
        first = ask(alice.home, "put", str(page), "--name", "page")[0]
        page.write_bytes(random.Random(1).randbytes(300_000))
        second = ask(alice.home, "put", str(page), "--name", "page")[0]
        assert second["sequence"] > first["sequence"] and second["kind"] == "mutable"
        assert first["name"] == second["name"] == f"{ask(alice.home, 'id')[0]['node_id']}/page"
        got = ask(bob.home, "get", "alice/page", "-o", str(copy))[0]
        assert copy.read_bytes() == page.read_bytes()
        assert (got["name"], got["sequence"]) == (second["name"], second["sequence"])
        (listed,) = ask(bob.home, "objects")
        assert (listed["kind"], listed["sequence"]) == ("mutable", second["sequence"])
        assert alice.terminate() == 0
        again = ask(bob.home, "get", second["name"], "-o", str(copy), "--force")[0]
        assert again["sequence"] == second["sequence"]
        refused = nexus(bob.home, "get", "alice/other", "-o", str(tmp_path / "none")).refusal(1)
        assert "alice/other" in refused
        assert "1 to 32 bytes" in nexus(bob.home, "put", str(page), "--name", "a/b").refusal(1)
