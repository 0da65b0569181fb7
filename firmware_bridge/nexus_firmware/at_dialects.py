"""The dialects of LoRa modules with text commands, as data (radio.md sections 3.3 to 3.5).

REYAX "LoRa AT command guide" for the RYLR896 and RYLR998, RAKwireless "RUI3 AT command manual" for the
RAK3172, Microchip DS40001784 and DS40001811 for the RN2483 and RN2903.
"""

import re

from nexus_firmware.at import (
    Answer,
    Dialect,
    Event,
    Failed,
    Ok,
    Sent,
    Step,
    Stopped,
    Trouble,
    base64_text,
    from_base64_text,
)
from nexus_firmware.radio import RadioSettings


def _command(text: str) -> bytes:
    return text.encode("ascii") + b"\r\n"


def _ok(*texts: str) -> tuple[Step, ...]:
    return tuple(Step(_command(text), Ok) for text in texts)


def _needs(what: str, value: int, known: dict[int, int] | range) -> int:
    """A value of the module's table. Raises ValueError."""
    if value not in known:
        raise ValueError(f"this module has no {what} {value}; it has {', '.join(map(str, known))}")
    return known[value] if isinstance(known, dict) else value


# --- REYAX RYLR896 and RYLR998 ----------------------------------------------------------------------
RYLR_PREAMBLE, RYLR_OVERHEAD, RYLR_TEXT_MAX = 12, 8, 240
RYLR_NETWORK = 18
"""The only one on which the preamble may be chosen; 3 to 15 are the others."""
_RYLR_BANDWIDTHS = {62_500: 6, 125_000: 7, 250_000: 8, 500_000: 9}
_RYLR_ERRORS = {
    "1": ("no end of line", Trouble.REFUSED),
    "2": ("the command does not begin with AT", Trouble.REFUSED),
    "4": ("unknown command", Trouble.REFUSED),
    "5": ("the length does not fit the data", Trouble.REFUSED),
    "10": ("the transmission took too long", Trouble.SENDING),
    "12": ("a packet came damaged", Trouble.RECEIVING),
    "13": ("more than 240 bytes", Trouble.REFUSED),
    "14": ("its memory cannot be written", Trouble.REFUSED),
    "15": ("unknown failure", Trouble.SENDING),
    "17": ("the last transmission is not over", Trouble.BUSY),
    "18": ("a preamble came damaged", Trouble.RECEIVING),
    "19": ("a header came damaged", Trouble.RECEIVING),
    "20": ("the time of smart reception must be longer", Trouble.REFUSED),
}


def _rylr_failure(text: str) -> Failed | None:
    code = text.removeprefix("+ERR=")
    if code == text:
        return None
    words, trouble = _RYLR_ERRORS.get(code, (f"error {code}", Trouble.REFUSED))
    return Failed(text, words, trouble)


def _rylr_configuration(settings: RadioSettings) -> tuple[Step, ...]:
    bandwidth = _needs("bandwidth", settings.bandwidth, _RYLR_BANDWIDTHS)
    spreading_factor = _needs("spreading factor", settings.spreading_factor, range(5, 13))
    return _ok(
        "AT+MODE=0",
        f"AT+BAND={settings.frequency}",
        f"AT+NETWORKID={RYLR_NETWORK}",
        "AT+ADDRESS=0",
        f"AT+PARAMETER={spreading_factor},{bandwidth},{settings.coding_rate - 4},{RYLR_PREAMBLE}",
        f"AT+CRFOP={settings.tx_power}",
    )


def _rylr_transmission(data: bytes, airtime: float) -> tuple[Step, ...]:
    text = base64_text(data)
    # Address 0 is everybody's. The +OK comes when it has gone out.
    return (Step(_command(f"AT+SEND=0,{len(text)},{text}"), Ok, airtime + 3.0),)


def _rylr_airtime(size: int, settings: RadioSettings) -> float:
    return settings.airtime(RYLR_OVERHEAD + -(-size * 4 // 3), RYLR_PREAMBLE)


def _rylr_questions(settings: RadioSettings) -> dict[Step, str]:
    bandwidth = _RYLR_BANDWIDTHS[settings.bandwidth]
    parameters = f"{settings.spreading_factor},{bandwidth},{settings.coding_rate - 4},{RYLR_PREAMBLE}"
    values = {"BAND": settings.frequency, "NETWORKID": RYLR_NETWORK, "ADDRESS": 0, "PARAMETER": parameters}
    return {Step(_command(f"AT+{name}?"), Answer): f"+{name}={value}" for name, value in values.items()}


RYLR998 = Dialect(
    name="rylr998",
    baud=115200,
    mtu=RYLR_TEXT_MAX * 3 // 4,
    fixed={"+OK": Ok()},
    received=re.compile(r"\s*\+RCV=\d{1,5},(?P<length>\d{1,3}),", re.ASCII),
    counted=True,
    decode=from_base64_text,
    failure=_rylr_failure,
    configuration=_rylr_configuration,
    questions=_rylr_questions,
    listening=(),
    transmission=_rylr_transmission,
    airtime=_rylr_airtime,
    restarted=re.compile(r"\+READY"),
    version=_command("AT+VER?"),
)

# --- RAK3172 ----------------------------------------------------------------------------------------
RAK_PREAMBLE = 8
_RAK_LISTEN = Step(_command("AT+PRECV=65534"), Ok)
"""Until told otherwise; PSEND is then refused as busy, so it is switched off before each transmission."""
_RAK_BANDWIDTHS = {125_000: 125, 250_000: 250, 500_000: 500}
_RAK_ERRORS = {
    "AT_ERROR": ("a failure it does not explain", Trouble.REFUSED),
    "AT_PARAM_ERROR": ("a value is wrong", Trouble.REFUSED),
    "AT_BUSY_ERROR": ("it is receiving or sending", Trouble.BUSY),
    "AT_TEST_PARAM_OVERFLOW": ("a value is too long", Trouble.REFUSED),
    "AT_RX_ERROR": ("the command did not come whole", Trouble.REFUSED),
    "AT_COMMAND_NOT_FOUND": ("unknown command", Trouble.REFUSED),
    "AT_UNSUPPORTED_BAND": ("not in this band", Trouble.REFUSED),
    "AT_MODE_NO_SUPPORT": ("not in this mode; AT+NWM=0 sets LoRa P2P", Trouble.REFUSED),
    "AT_NO_NETWORK_JOINED": ("it is in LoRaWAN mode; AT+NWM=0 sets LoRa P2P", Trouble.REFUSED),
}


def _rak_failure(text: str) -> Failed | None:
    if not text.startswith("AT_"):
        return None
    words, trouble = _RAK_ERRORS.get(text, (text, Trouble.REFUSED))
    return Failed(text, words, trouble)


def _rak_configuration(settings: RadioSettings) -> tuple[Step, ...]:
    return (
        Step(_command("AT+NWM=0"), Ok, 5.0),
        *_ok("AT+PRECV=0", _rak_p2p(settings)),
        _RAK_LISTEN,
    )


def _rak_transmission(data: bytes, airtime: float) -> tuple[Step, ...]:
    return (
        *_ok("AT+PRECV=0", f"AT+PSEND={data.hex().upper()}"),
        Step(b"", Sent, airtime + 3.0),
        _RAK_LISTEN,
    )


def _rak_p2p(settings: RadioSettings) -> str:
    """As set and as told."""
    bandwidth = _needs("bandwidth", settings.bandwidth, _RAK_BANDWIDTHS)
    spreading_factor = _needs("spreading factor", settings.spreading_factor, range(5, 13))
    return (
        f"AT+P2P={settings.frequency}:{spreading_factor}:{bandwidth}:{settings.coding_rate - 5}"
        f":{RAK_PREAMBLE}:{settings.tx_power}"
    )


RAK3172 = Dialect(
    name="rak3172",
    baud=115200,
    mtu=255,
    fixed={
        "OK": Ok(),
        "+EVT:TXP2P DONE": Sent(),
        "+EVT:RXP2P RECEIVE TIMEOUT": Stopped(),
        "+EVT:RXP2P RECEIVE ERROR": Failed(
            "+EVT:RXP2P RECEIVE ERROR", "a packet came damaged", Trouble.RECEIVING
        ),
    },
    received=re.compile(
        r"\+EVT:RXP2P:(?P<rssi>-?\d{1,4}):(?P<snr>-?\d{1,3}):(?P<data>[0-9A-Fa-f]{2,510})$", re.ASCII
    ),
    decode=bytes.fromhex,
    failure=_rak_failure,
    configuration=_rak_configuration,
    questions=lambda settings: {Step(_command("AT+P2P=?"), Ok): _rak_p2p(settings)},
    listening=(_RAK_LISTEN,),
    transmission=_rak_transmission,
    airtime=lambda size, settings: settings.airtime(size, RAK_PREAMBLE),
    restarted=re.compile(r"RAKwireless RAK|Current Work Mode"),
    version=_command("AT+VER=?"),
)

# --- Microchip RN2483 and RN2903 --------------------------------------------------------------------
RN_PREAMBLE = 8
RN_SYNC_WORD = 0x12
_RN_LISTEN = Step(_command("radio rx 0"), Ok)
_RN_BANDWIDTHS = {125_000: 125, 250_000: 250, 500_000: 500}
_RN_ERRORS = {
    "busy": ("it is receiving or sending", Trouble.BUSY),
    "invalid_param": ("unknown command, or a value is wrong", Trouble.REFUSED),
}


def _rn_failure(text: str) -> Failed | None:
    known = _RN_ERRORS.get(text)
    return None if known is None else Failed(text, *known)


def _rn_configuration(settings: RadioSettings) -> tuple[Step, ...]:
    bandwidth = _needs("bandwidth", settings.bandwidth, _RN_BANDWIDTHS)
    spreading_factor = _needs("spreading factor", settings.spreading_factor, range(7, 13))
    return (
        # How long the LoRaWAN part stays away, in milliseconds; 4294967245 is for good.
        Step(_command("mac pause"), Answer),
        *_ok(
            "radio rxstop",
            "radio set mod lora",
            f"radio set freq {settings.frequency}",
            f"radio set pwr {settings.tx_power}",
            f"radio set sf sf{spreading_factor}",
            f"radio set bw {bandwidth}",
            f"radio set cr 4/{settings.coding_rate}",
            f"radio set prlen {RN_PREAMBLE}",
            "radio set crc on",
            f"radio set sync {RN_SYNC_WORD:02x}",
            "radio set wdt 0",
        ),
        _RN_LISTEN,
    )


def _rn_questions(settings: RadioSettings) -> dict[Step, str]:
    values = {
        "freq": settings.frequency,
        "sf": f"sf{settings.spreading_factor}",
        "bw": settings.bandwidth // 1000,
        "cr": f"4/{settings.coding_rate}",
        "sync": f"{RN_SYNC_WORD:02x}",
        "wdt": 0,
    }
    return {Step(_command(f"radio get {name}"), Answer): str(value) for name, value in values.items()}


def _rn_transmission(data: bytes, airtime: float) -> tuple[Step, ...]:
    return (
        *_ok("radio rxstop", f"radio tx {data.hex()}"),
        Step(b"", Sent, airtime + 3.0),
        _RN_LISTEN,
    )


_RN_FIXED: dict[str, Event] = {"ok": Ok(), "radio_tx_ok": Sent(), "radio_err": Stopped()}
RN2483 = Dialect(
    name="rn2483",
    baud=57600,
    mtu=255,
    fixed=_RN_FIXED,
    received=re.compile(r"radio_rx +(?P<data>[0-9A-Fa-f]{2,510})$", re.ASCII),
    decode=bytes.fromhex,
    failure=_rn_failure,
    configuration=_rn_configuration,
    questions=_rn_questions,
    listening=(_RN_LISTEN,),
    transmission=_rn_transmission,
    airtime=lambda size, settings: settings.airtime(size, RN_PREAMBLE),
    listens_once=True,
    restarted=re.compile(r"RN2[49]\d\d\D? "),
    question=_command("sys get ver"),
    version=_command("sys get ver"),
)
RN_SIGNAL = (_command("radio get snr"), _command("radio get rssi"))
"""Asks how the last packet was heard, each answered with a number; older firmware has no RSSI."""

DIALECTS = {one.name: one for one in (RYLR998, RAK3172, RN2483)}
