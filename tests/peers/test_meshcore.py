"""The stock MeshCore client against the emulated companion device (C1): by TCP, as it cannot open a pty."""

SIZES = [1, 100, 163]


def test_c1_two_stock_clients(peer, emulator):
    """A channel that they set themselves, datagrams to the longest and a text, both ways."""
    radio = ("--radio", "915000000,500000,7,5", "--tcp", "127.0.0.1:0")
    places = [emulator("companion", *radio) for _ in range(2)]
    found = peer("meshcore", "meshcore_clients.py", *places, *map(str, SIZES))
    assert found["names"] == ["Emulated"] * 2
    assert found["channels"] == ["peers"] * 2
    assert found["answers"] == ["OK"] * 8
    for number in (0, 1):
        sent = [bytes(range(number, number + size)).hex() for size in SIZES] + [
            f"Emulated: hello from {number}"
        ]
        assert found["heard"][4 * number : 4 * number + 4] == [[[1 - number, 2, one]] for one in sent]
