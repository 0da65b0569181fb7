"""The emulated text modules, run by the codec's scripts (T1, T2, T3)."""

from random import Random

import pytest

from nexus_firmware.at import (
    Answer,
    AtDecoder,
    Failed,
    Ok,
    Received,
    Restarted,
    Stopped,
    Trouble,
)
from nexus_firmware.at_dialects import RAK3172, RN2483, RN_SIGNAL, RYLR998
from nexus_firmware.at_script import End, Script
from nexus_firmware.emulate.rak import Rak3172
from nexus_firmware.emulate.rn2483 import Rn2483
from nexus_firmware.emulate.rylr import Rylr998
from nexus_firmware.radio import RadioSettings

from .bench import Bench

SETTINGS = RadioSettings(868_100_000, 125_000, 7, 5, 14)
KINDS = {"rylr998": (RYLR998, Rylr998), "rak3172": (RAK3172, Rak3172), "rn2483": (RN2483, Rn2483)}


class Host:
    """A driver in small: scripts, and the receiver on again where it listens once."""

    def __init__(self, bench: Bench, kind: str, **options) -> None:
        self.bench = bench
        self.dialect, firmware = KINDS[kind]
        self.desk = bench.add(firmware(Random(1), **options))
        self.decoder = AtDecoder(self.dialect)
        self.events = []
        bench.run(0.5)
        self.read()

    def read(self):
        found = self.decoder.feed(self.desk.read())
        self.events += found
        return found

    def run(self, steps) -> Script:
        script = Script(steps, self.bench.now)
        while script.end is None:
            if line := script.poll_send():
                self.desk.write(line)
            self.bench.run(0.01)
            for event in self.read():
                script.take(event, self.bench.now)
            script.expire(self.bench.now)
        return script

    def start(self):
        script = self.run(self.dialect.configuration(SETTINGS))
        assert script.end is End.DONE, script.error
        self.events.clear()
        return self

    def send(self, data: bytes) -> Script:
        return self.run(self.dialect.transmission(data, self.dialect.airtime(len(data), SETTINGS)))

    def packets(self):
        self.read()
        found = [event for event in self.events if isinstance(event, Received)]
        self.events.clear()
        return found

    def ask(self, command: bytes):
        return self.decoder.feed(self.desk.ask(command))


@pytest.mark.parametrize("kind", KINDS)
def test_packets_cross_the_air(kind):
    bench = Bench()
    a, b = (Host(bench, kind).start() for _ in range(2))
    dialect = a.dialect
    signal = (None, None) if kind == "rn2483" else (-80, 10.0)
    for size in (1, 2, 3, 100, dialect.mtu):
        for payload in (bytes(range(256))[:size], b"\r\n,\0"[:size]):
            a.desk.sent.clear()
            assert a.send(payload).end is End.DONE
            bench.run(0.5)
            assert b.packets() == [Received(payload, *signal)]
            (_, transmission), *_ = a.desk.sent
            assert transmission.airtime == pytest.approx(dialect.airtime(len(payload), SETTINGS))
            if dialect.listens_once:
                assert b.run(dialect.listening).end is End.DONE
            assert b.send(payload[::-1]).end is End.DONE
            bench.run(0.5)
            assert [one.data for one in a.packets()] == [payload[::-1]]
            if dialect.listens_once:
                assert a.run(dialect.listening).end is End.DONE


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("AT", "+OK"),
        ("AT+ADDRESS=65535", "+OK"),
        ("AT+ADDRESS=65536", "+ERR=4"),
        ("AT+ADDRESS?", "+ADDRESS=0"),
        ("AT+PARAMETER?", "+PARAMETER=9,7,1,12"),
        ("AT+BAND?", "+BAND=915000000"),
        ("AT+VER?", "+VER=RYLR998_REYAX_V1.2.2"),
        ("AT+SEND=0,3,ab", "+ERR=5"),
        ("AT+SEND=0,241,x", "+ERR=13"),
        ("HELLO", "+ERR=2"),
        ("AT+NONSENSE", "+ERR=4"),
    ],
)
def test_rylr_answers(command, answer):
    host = Host(Bench(), "rylr998")
    assert host.desk.ask(command.encode() + b"\r\n") == answer.encode() + b"\r\n"


def test_rylr_is_busy_until_its_packet_is_out():
    """T1: +ERR=17, then the +OK of the first."""
    bench = Bench()
    a = Host(bench, "rylr998").start()
    a.desk.write(b"AT+SEND=0,5,first\r\n")
    a.desk.write(b"AT+SEND=0,6,second\r\n")
    assert a.read() == [Failed("+ERR=17", "the last transmission is not over", Trouble.BUSY)]
    bench.run(1)
    assert a.read() == [Ok()]


def test_rylr_hears_while_a_command_is_answered():
    """T1."""
    bench = Bench()
    a, b = (Host(bench, "rylr998").start() for _ in range(2))
    a.desk.write(b"AT+SEND=0,4,aGkh\r\n")
    bench.run(a.desk.sent[0][1].airtime)
    assert b.ask(b"AT+ADDRESS?\r\n") == [Answer("+ADDRESS=0")]
    assert b.decoder.foreign == 0


def test_rylr_networks_and_addresses():
    bench = Bench()
    a, b = (Host(bench, "rylr998").start() for _ in range(2))
    b.desk.write(b"AT+ADDRESS=7\r\nAT+NETWORKID=5\r\n")
    a.send(b"x")
    bench.run(1)
    assert b.packets() == []
    b.desk.write(b"AT+NETWORKID=18\r\n")
    a.desk.write(b"AT+SEND=8,4,aGkh\r\n")
    bench.run(1)
    assert b.packets() == []
    a.desk.write(b"AT+SEND=7,4,aGkh\r\n")
    bench.run(1)
    assert [one.data for one in b.packets()] == [b"hi!"]


def test_rylr_restarts():
    host = Host(Bench(), "rylr998")
    host.desk.write(b"AT+RESET\r\n")
    host.bench.run(1)
    assert host.read() == [Answer("+RESET"), Restarted("+READY")]


def test_rak_refuses_to_send_while_it_receives():
    """T2."""
    bench = Bench()
    a = Host(bench, "rak3172").start()
    assert a.ask(b"AT+PSEND=AB\r\n") == [Failed("AT_BUSY_ERROR", "it is receiving or sending", Trouble.BUSY)]
    assert a.send(b"x").end is End.DONE
    assert a.desk.firmware.listening()
    for wrong in (b"AT+PSEND=ABC\r\n", b"AT+PSEND=XY\r\n", b"AT+PSEND=\r\n"):
        a.desk.write(b"AT+PRECV=0\r\n")
        assert a.ask(wrong)[0].code == "AT_PARAM_ERROR"


def test_rak_from_the_factory_reboots_into_p2p_first():
    """The driver sees it restart, and begins again."""
    bench = Bench()
    host = Host(bench, "rak3172", lorawan=True)
    assert host.ask(b"AT+PRECV=0\r\n")[0].code == "AT_MODE_NO_SUPPORT"
    script = host.run(host.dialect.configuration(SETTINGS))
    assert script.end is End.SILENT
    assert any(isinstance(event, Restarted) for event in host.events)
    host.start()


def test_rak_windows():
    bench = Bench()
    host = Host(bench, "rak3172").start()
    host.desk.write(b"AT+PRECV=0\r\nAT+PRECV=3000\r\n")
    bench.run(2.9)
    assert Stopped() not in host.read()
    bench.run(0.2)
    assert Stopped() in host.read()
    assert host.ask(host.dialect.version) == [Answer("AT+VER=RUI_4.1.0_RAK3172-E"), Ok()]


def test_rn2483_watchdog():
    """T3: the receiver stops, and is started again."""
    bench = Bench()
    host = Host(bench, "rn2483")
    host.desk.write(b"mac pause\r\nradio set wdt 2000\r\nradio rx 0\r\n")
    bench.run(1.9)
    assert Stopped() not in host.read()
    bench.run(0.2)
    assert Stopped() in host.read()
    assert host.run(host.dialect.listening).end is End.DONE


def test_rn2483_says_how_a_packet_was_heard():
    bench = Bench()
    a, b = (Host(bench, "rn2483").start() for _ in range(2))
    a.send(b"x")
    bench.run(0.5)
    b.packets()
    assert b.ask(RN_SIGNAL[0] + RN_SIGNAL[1]) == [Answer("10"), Answer("-80")]


def test_rn2483_is_busy_while_it_receives_and_without_pause():
    bench = Bench()
    host = Host(bench, "rn2483")
    assert host.ask(b"radio rx 0\r\n")[0].code == "busy"
    host.start()
    assert host.ask(b"radio tx AB\r\n")[0].code == "busy"
    assert host.ask(b"radio set freq 915000000\r\n")[0].code == "invalid_param"
    assert host.ask(b"sys get ver\r\n") == [Restarted("RN2483 1.0.5 Oct 31 2018 15:06:52")]


def test_modules_of_two_makers_hear_each_other():
    bench = Bench()
    rak, microchip = Host(bench, "rak3172").start(), Host(bench, "rn2483").start()
    rak.send(b"from rak")
    bench.run(0.5)
    assert [one.data for one in microchip.packets()] == [b"from rak"]
    microchip.send(b"from microchip")
    bench.run(0.5)
    assert [one.data for one in rak.packets()] == [b"from microchip"]
