"""RNS (its licence is not open source: only run here, where somebody installed it) against our emulators."""

from .conftest import set_kiss_radio

SIZES = [1, 100, 254, 255, 500]


def test_rnode_interface(peer, emulator):
    """R1: the worst bytes to escape, both ways, exact, with the signal."""
    ports = [emulator("rnode") for _ in range(2)]
    found = peer("rns", "rns_interfaces.py", "RNodeInterface", *ports, *map(str, SIZES))
    assert found["online"] == [True, True]
    assert max(found["after_s"]) < 5
    assert found["exact"] == [[size, [True]] for size in SIZES * 2]
    assert found["signal"] == [-80, 10.0]


def test_rnode_interface_over_tcp(peer, emulator):
    """R10: RNS knows only the firmware's own port, 7633."""
    hosts = ["127.0.77.1", "127.0.77.2"]
    for host in hosts:
        assert emulator("rnode", "--tcp", f"{host}:7633") == f"{host}:7633"
    found = peer(
        "rns", "rns_interfaces.py", "RNodeInterface", *(f"tcp://{host}" for host in hosts), *map(str, SIZES)
    )
    assert found["online"] == [True, True]
    assert found["exact"] == [[size, [True]] for size in SIZES * 2]


def test_kiss_interface(peer, emulator):
    """K1: 256 bytes are more than the modem takes."""
    ports = [emulator("meshcore") for _ in range(2)]
    for port in ports:
        set_kiss_radio(port)
    found = peer("rns", "rns_interfaces.py", "KISSInterface", *ports, "1", "100", "255", "256")
    assert found["online"] == [True, True]
    assert found["exact"] == [[1, [True]], [100, [True]], [255, [True]], [256, []]] * 2
