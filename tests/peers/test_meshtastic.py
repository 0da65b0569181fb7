"""The stock Meshtastic client against the emulated device, by serial port and by TCP (M1)."""

import pytest

KEY = "nexus=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
SIZES = [1, 100, 200, 231]
NODES = [0x0A0A0A0A, 0x0B0B0B0B]


@pytest.mark.parametrize("way", ["serial", "tcp"])
@pytest.mark.parametrize("variant", ["full", "minimal"])
def test_stock_client(peer, emulator, way, variant):
    options = ["--preset", "SHORT_TURBO", "--region", "US", "--channel", KEY]
    options += ["--minimal"] if variant == "minimal" else []
    options += ["--tcp", "127.0.0.1:0"] if way == "tcp" else []
    places = [emulator("meshtastic", "--node", f"{number:x}", *options) for number in NODES]
    found = peer("meshtastic", "meshtastic_clients.py", *places, "1", *map(str, SIZES))
    assert found["me"] == NODES
    assert max(found["after_s"]) < 5
    if variant == "full":
        assert found["channels"] == [["", "nexus"]] * 2
        assert found["firmware"] == ["2.8.0.emulated"] * 2
    assert found["known"]
    a, b = NODES
    assert found["exact"] == [[size, [[True, a]]] for size in SIZES] + [[size, [[True, b]]] for size in SIZES]
    assert found["ack"] == [[b, "NONE"]]
    assert found["too_large"] == [[a, "TOO_LARGE"]]
    assert found["unknown_key"] == [[a, "PKI_SEND_FAIL_PUBLIC_KEY"]]
