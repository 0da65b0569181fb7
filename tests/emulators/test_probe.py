"""The probe against every emulated firmware: it names what is there, and what is not."""

from random import Random

import pytest

from nexus_firmware import meshtastic_pb
from nexus_firmware.emulate.companion import Companion
from nexus_firmware.emulate.e22 import E22, Mode
from nexus_firmware.emulate.mesh_node import NodeSettings
from nexus_firmware.emulate.meshcore import MeshcoreModem
from nexus_firmware.emulate.meshtastic import Meshtastic
from nexus_firmware.emulate.rak import Rak3172
from nexus_firmware.emulate.rn2483 import Rn2483
from nexus_firmware.emulate.rnode import RNode
from nexus_firmware.emulate.rylr import Rylr998
from nexus_firmware.probe import KINDS, Probe
from nexus_node.base.errors import InputError

from .bench import Bench

DEVICES = {
    "rnode": (lambda: RNode(Random(1)), 115200, "RNode on ESP32", "1.86"),
    "meshcore_kiss": (
        lambda: MeshcoreModem(Random(1)),
        115200,
        "MeshCore KISS modem (Emulated KISS modem)",
        "1",
    ),
    "meshcore": (lambda: Companion(Random(1)), 115200, "MeshCore companion", "protocol 11"),
    "meshtastic": (
        lambda: Meshtastic(Random(1), NodeSettings(0x01020304)),
        115200,
        "Meshtastic",
        "2.8.0.emulated",
    ),
    "rylr998": (lambda: Rylr998(Random(1)), 115200, "REYAX RYLR", "RYLR998_REYAX_V1.2.2"),
    "rak3172": (lambda: Rak3172(Random(1), lorawan=True), 115200, "RAK3172", "RUI_4.1.0_RAK3172-E"),
    "rn2483": (
        lambda: Rn2483(Random(1)),
        57600,
        "Microchip RN2483 or RN2903",
        "RN2483 1.0.5 Oct 31 2018 15:06:52",
    ),
    "e22": (lambda: E22(Random(1)), 9600, "Ebyte E22", "00220b16000000"),
}


def run(probe: Probe, bench: Bench, desk, baud: int, *, cut: int = 4096):
    """Drive it against a device that understands one baud rate, in reads of at most `cut` bytes."""
    written = b""
    while not probe.done:
        while line := probe.poll_send(bench.now):
            written += line
            if probe.baud == baud:
                desk.write(line)
        bench.run(0.02)
        said = desk.read()
        for at in range(0, len(said) if probe.baud == baud else 0, cut):
            probe.receive(said[at : at + cut])
        probe.expire(bench.now)
    return written


@pytest.mark.parametrize("cut", [1, 4096])
@pytest.mark.parametrize("kind", DEVICES)
def test_every_firmware_is_named(kind, cut):
    make, baud, words, version = DEVICES[kind]
    bench = Bench()
    desk = bench.add(make())
    bench.run(1.0)
    desk.read()
    begin = bench.now
    probe = Probe(bench.now)
    run(probe, bench, desk, baud, cut=cut)
    assert probe.finding is not None
    assert (probe.finding.kind, probe.finding.words, probe.finding.version) == (kind, words, version)
    assert probe.finding.baud == baud
    assert bench.now - begin < 6.5
    assert probe.next_deadline() is None
    assert bool(probe.finding.farewell) == (kind == "meshtastic")
    assert probe.finding.region == ("EU_868" if kind == "meshtastic" else "")


@pytest.mark.parametrize("kind", DEVICES)
def test_a_board_that_boots_when_its_port_opens_is_given_time(kind):
    make, baud, _, version = DEVICES[kind]
    bench = Bench()
    desk = bench.add(make())
    probe = Probe(bench.now, settle=2.0)
    assert probe.poll_send(bench.now) is None
    run(probe, bench, desk, baud)
    assert (probe.finding.kind, probe.finding.version) == (kind, version)


@pytest.mark.parametrize("kind", [kind for kind in DEVICES if kind != "e22"])
def test_asking_for_one_kind_writes_nothing_else(kind):
    make, baud, *_ = DEVICES[kind]
    bench = Bench()
    desk = bench.add(make())
    bench.run(1.0)
    probe = Probe(bench.now, kinds=(kind,))
    assert b"\xc1\x80" not in run(probe, bench, desk, baud)
    assert probe.finding.kind == kind
    others = tuple(one for one in KINDS if one != kind and {one, kind} != {"rylr998", "rak3172"})
    silent = Probe(bench.now, kinds=others)
    run(silent, bench, desk, baud)
    assert silent.finding is None


def test_a_dead_line_ends_without_a_finding():
    probe = Probe(0.0)
    now = 0.0
    bauds = []
    while not probe.done:
        while line := probe.poll_send(now):
            bauds.append((probe.baud, len(line)))
        now = probe.next_deadline()
        probe.expire(now)
    assert probe.finding is None
    assert [baud for baud, _ in bauds] == [115200] * 5 + [57600, 9600]
    assert now == pytest.approx(6.0)
    assert probe.heard == 0


def test_noise_is_no_finding():
    dice = Random(5)
    probe = Probe(0.0)
    now = 0.0
    while not probe.done:
        probe.poll_send(now)
        for _ in range(20):
            probe.receive(dice.randbytes(500))
        now = probe.next_deadline()
        probe.expire(now)
    assert probe.finding is None
    assert probe.heard > 50_000


def test_an_e22_in_transparent_mode_does_not_answer():
    bench = Bench()
    desk = bench.add(E22(Random(1), mode=Mode.TRANSPARENT))
    probe = Probe(bench.now)
    run(probe, bench, desk, 9600)
    assert probe.finding is None


def test_without_the_meshtastic_package_the_others_are_asked(monkeypatch):
    def missing():
        raise InputError("the Python package meshtastic is not installed; install it")

    for name in ("nexus_firmware.meshtastic.protobufs", "nexus_firmware.meshtastic_pb.protobufs"):
        monkeypatch.setattr(name, missing)
    bench = Bench()
    desk = bench.add(Rylr998(Random(1)))
    bench.run(1.0)
    probe = Probe(bench.now)
    run(probe, bench, desk, 115200)
    assert probe.finding.kind == "rylr998"
    assert probe.left_out == ["meshtastic: the Python package meshtastic is not installed; install it"]
    assert meshtastic_pb.protobufs is missing
