"""The codec of modules with text commands: lines of each dialect, payloads, scripts (T1 to T3)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_firmware.at import (
    Answer,
    AtDecoder,
    Failed,
    Ok,
    Received,
    Restarted,
    Sent,
    Stopped,
    Trouble,
    base64_text,
    from_base64_text,
)
from nexus_firmware.at_dialects import DIALECTS, RAK3172, RN2483, RYLR998
from nexus_firmware.at_script import End, Script
from nexus_firmware.radio import RadioSettings

SETTINGS = RadioSettings(868_100_000, 125_000, 9, 5, 14)


def decoded(dialect, data: bytes):
    return AtDecoder(dialect).feed(data)


def lines(steps):
    return [step.line.decode() for step in steps if step.line]


# --- lines ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("dialect", "line", "event"),
    [
        (RYLR998, b"+OK", Ok()),
        (RYLR998, b"+READY", Restarted("+READY")),
        (RYLR998, b"+VER=RYLR998_REYAX_V1.2.2", Answer("+VER=RYLR998_REYAX_V1.2.2")),
        (RYLR998, b"+ERR=17", Failed("+ERR=17", "the last transmission is not over", Trouble.BUSY)),
        (RYLR998, b"+ERR=12", Failed("+ERR=12", "a packet came damaged", Trouble.RECEIVING)),
        (RYLR998, b"+ERR=99", Failed("+ERR=99", "error 99", Trouble.REFUSED)),
        (RYLR998, b"+RCV=50,7,aGVsbG8,-99,40", Received(b"hello", -99, 40.0)),
        (RAK3172, b"OK", Ok()),
        (RAK3172, b"+EVT:TXP2P DONE", Sent()),
        (RAK3172, b"+EVT:RXP2P RECEIVE TIMEOUT", Stopped()),
        (RAK3172, b"+EVT:RXP2P:-43:8:313233", Received(b"123", -43, 8.0)),
        (RAK3172, b"AT_BUSY_ERROR", Failed("AT_BUSY_ERROR", "it is receiving or sending", Trouble.BUSY)),
        (RAK3172, b"AT_LATER_ERROR", Failed("AT_LATER_ERROR", "AT_LATER_ERROR", Trouble.REFUSED)),
        (RAK3172, b"AT+VER=RUI_4.1.0_RAK3172-E", Answer("AT+VER=RUI_4.1.0_RAK3172-E")),
        (RN2483, b"ok", Ok()),
        (RN2483, b"radio_tx_ok", Sent()),
        (RN2483, b"radio_err", Stopped()),
        (RN2483, b"radio_rx  48656C6C6F", Received(b"Hello", None, None)),
        (RN2483, b"busy", Failed("busy", "it is receiving or sending", Trouble.BUSY)),
        (RN2483, b"4294967245", Answer("4294967245")),
        (RN2483, b"RN2483 1.0.5 Oct 31 2018 15:06:52", Restarted("RN2483 1.0.5 Oct 31 2018 15:06:52")),
        (RN2483, b"RN2903 1.0.3 Aug 8 2017 15:11:09", Restarted("RN2903 1.0.3 Aug 8 2017 15:11:09")),
    ],
)
def test_golden_lines(dialect, line, event):
    assert decoded(dialect, line + b"\r\n") == [event]
    assert decoded(dialect, b"\r\n" + line + b"\r\n\r\n") == [event]


def test_a_packet_in_the_middle_of_an_answer():
    """T1."""
    stream = b"+ADDRESS=5\r\n+RCV=1,4,aGkh,-80,10\r\n+OK\r\n"
    assert decoded(RYLR998, stream) == [Answer("+ADDRESS=5"), Received(b"hi!", -80, 10.0), Ok()]


@pytest.mark.parametrize(
    "data", [b"a\r\nb", b"\n\n\n", b"1,2,3", b",-1,-1\r\n", b"+OK\r\n", b"\xff\x00", b""]
)
def test_foreign_packets_may_hold_anything(data):
    """Their length says where they end, not their bytes."""
    decoder = AtDecoder(RYLR998)
    stream = b"+RCV=7,%d,%b,-80,10\r\n+OK\r\n" % (len(data), data)
    events = decoder.feed(stream)
    assert events[-1:] == [Ok()]
    assert len(events) + decoder.foreign == 2
    one_by_one = AtDecoder(RYLR998)
    assert [event for byte in stream for event in one_by_one.feed(bytes((byte,)))] == events


def test_lies_about_the_length_cost_no_line():
    assert decoded(RYLR998, b"+RCV=1,5,abc,-80,10\r\n+OK\r\n" * 3)[-1] == Ok()
    assert [
        event for event in decoded(RYLR998, b"+RCV=1,200,abc,-80,10\r\n" + b"+OK\r\n" * 60) if event == Ok()
    ] == [Ok()] * 60


@given(st.binary(max_size=180))
def test_base64_text_comes_back_and_has_no_comma_or_line_end(data):
    text = base64_text(data)
    assert not set(text) & set(",=\r\n +/")
    assert from_base64_text(text) == data


@pytest.mark.parametrize("text", ["a", "ab=", "a b", "abc\r", "ä", "hello, all", "ab\n", "aa+/", "ab", "abd"])
def test_other_text_is_not_ours(text):
    """Bits left over included, so that only one text stands for each payload."""
    with pytest.raises(ValueError, match=r"no base64|bits left over"):
        from_base64_text(text)


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=list(DIALECTS))
def test_every_byte_value_and_size_comes_back(dialect):
    """T1: the text a module is given, as the other end's module would say it."""
    say = {
        "rylr998": lambda text: b"+RCV=0,%d,%b,-80,10\r\n" % (len(text), text),
        "rak3172": lambda text: b"+EVT:RXP2P:-80:10:%b\r\n" % text,
        "rn2483": lambda text: b"radio_rx  %b\r\n" % text,
    }[dialect.name]
    for payload in [
        bytes(range(256))[: dialect.mtu],
        bytes(range(255, -1, -1))[: dialect.mtu],
        b"\0",
        b"\r\n,",
    ]:
        steps = [step.line for step in dialect.transmission(payload, 1.0)]
        command = max(steps, key=lambda line: b"SEND" in line or b"radio tx" in line)
        text = command.strip().replace(b"=", b" ").replace(b",", b" ").split(b" ")[-1]
        (event,) = decoded(dialect, say(text))
        assert event.data == payload
        assert len(command) <= 530


def test_largest_commands():
    """240 characters for the RYLR, 255 bytes for the others."""
    assert len(base64_text(bytes(RYLR998.mtu))) == 240
    assert (RAK3172.mtu, RN2483.mtu) == (255, 255)


# --- commands ---------------------------------------------------------------------------------------
def test_configurations():
    assert lines(RYLR998.configuration(SETTINGS)) == [
        "AT+MODE=0\r\n",
        "AT+BAND=868100000\r\n",
        "AT+NETWORKID=18\r\n",
        "AT+ADDRESS=0\r\n",
        "AT+PARAMETER=9,7,1,12\r\n",
        "AT+CRFOP=14\r\n",
    ]
    assert lines(RAK3172.configuration(SETTINGS)) == [
        "AT+NWM=0\r\n",
        "AT+PRECV=0\r\n",
        "AT+P2P=868100000:9:125:0:8:14\r\n",
        "AT+PRECV=65534\r\n",
    ]
    assert lines(RN2483.configuration(SETTINGS)) == [
        "mac pause\r\n",
        "radio rxstop\r\n",
        "radio set mod lora\r\n",
        "radio set freq 868100000\r\n",
        "radio set pwr 14\r\n",
        "radio set sf sf9\r\n",
        "radio set bw 125\r\n",
        "radio set cr 4/5\r\n",
        "radio set prlen 8\r\n",
        "radio set crc on\r\n",
        "radio set sync 12\r\n",
        "radio set wdt 0\r\n",
        "radio rx 0\r\n",
    ]


def test_transmissions():
    """T2, T3: receiver off, send, wait for the end, receiver on."""
    assert lines(RYLR998.transmission(b"hello", 1.0)) == ["AT+SEND=0,7,aGVsbG8\r\n"]
    assert lines(RAK3172.transmission(b"\xab", 1.0)) == [
        "AT+PRECV=0\r\n",
        "AT+PSEND=AB\r\n",
        "AT+PRECV=65534\r\n",
    ]
    assert lines(RN2483.transmission(b"\xab", 1.0)) == [
        "radio rxstop\r\n",
        "radio tx ab\r\n",
        "radio rx 0\r\n",
    ]


@pytest.mark.parametrize(
    ("dialect", "settings"),
    [
        (RYLR998, RadioSettings(868_100_000, 41_700, 9, 5)),
        (RAK3172, RadioSettings(868_100_000, 62_500, 9, 5)),
        (RN2483, RadioSettings(868_100_000, 125_000, 6, 5)),
    ],
)
def test_settings_a_module_does_not_have_are_named(dialect, settings):
    with pytest.raises(ValueError, match="this module has no"):
        dialect.configuration(settings)


def test_airtimes():
    """The RYLR adds 8 bytes, and base64 a third."""
    assert RYLR998.airtime(180, SETTINGS) == SETTINGS.airtime(248, 12)
    assert RYLR998.airtime(1, SETTINGS) == SETTINGS.airtime(10, 12)
    assert RAK3172.airtime(100, SETTINGS) == RN2483.airtime(100, SETTINGS) == SETTINGS.airtime(100, 8)


# --- scripts ----------------------------------------------------------------------------------------
def test_a_script_writes_each_command_once_and_waits_for_its_answer():
    script = Script(RAK3172.transmission(b"x", 1.0), 0.0)
    assert script.poll_send() == b"AT+PRECV=0\r\n"
    assert script.poll_send() is None
    script.take(Received(b"late", -80, 5.0), 0.1)
    assert script.poll_send() is None
    script.take(Ok(), 0.1)
    assert script.poll_send() == b"AT+PSEND=78\r\n"
    script.take(Ok(), 0.2)
    assert script.poll_send() is None
    assert script.deadline == pytest.approx(4.2)
    script.take(Sent(), 1.2)
    assert script.poll_send() == b"AT+PRECV=65534\r\n"
    assert script.end is None
    script.take(Ok(), 1.3)
    assert script.end is End.DONE
    assert script.deadline is None
    assert script.poll_send() is None


@pytest.mark.parametrize(
    ("event", "end"),
    [
        (Failed("busy", "", Trouble.BUSY), End.BUSY),
        (Failed("invalid_param", "", Trouble.REFUSED), End.FAILED),
        (Failed("+ERR=10", "", Trouble.SENDING), End.FAILED),
        (Failed("+ERR=12", "", Trouble.RECEIVING), None),
        (Answer("what?"), None),
        (Stopped(), None),
    ],
)
def test_how_a_script_ends_early(event, end):
    script = Script(RN2483.transmission(b"x", 1.0), 0.0)
    script.poll_send()
    script.take(event, 0.1)
    assert script.end is end
    if end is not None:
        assert script.error == event
        script.take(Ok(), 0.2)
        assert script.end is end


def test_a_radio_that_stops_while_it_should_send_has_failed():
    """T3."""
    script = Script(RN2483.transmission(b"x", 1.0), 0.0)
    for _ in range(2):
        script.poll_send()
        script.take(Ok(), 0.1)
    script.take(Stopped(), 1.0)
    assert script.end is End.FAILED


def test_a_module_that_does_not_answer():
    script = Script(RYLR998.configuration(SETTINGS), 0.0)
    script.poll_send()
    script.expire(1.9)
    assert script.end is None
    script.expire(2.0)
    assert script.end is End.SILENT


def test_answers_are_kept():
    script = Script(RN2483.configuration(SETTINGS), 0.0)
    script.poll_send()
    script.take(Answer("4294967245"), 0.1)
    assert script.answers == ["4294967245"]
    assert script.poll_send() == b"radio rxstop\r\n"
    assert Script((), 0.0).end is End.DONE
