"""What answers on this port? A machine that says what to write, and judges what comes back.

Sans-IO. One question after the other, each at the baud rate its firmware speaks; whatever comes is shown to
every judge, since a slow board answers late. Nothing asked changes a setting. But a module in transparent
mode sends all it is given over the air, and nothing tells it from a dead line: an E22 answers only in
configuration mode.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from nexus_firmware import e22, meshcore_companion, meshcore_kiss, meshtastic, rnode
from nexus_firmware.at import Answer, AtDecoder, Dialect, Ok, Restarted
from nexus_firmware.at_dialects import RAK3172, RN2483, RYLR998
from nexus_firmware.e22 import RegisterDecoder, Registers
from nexus_firmware.meshcore_companion import CompanionDecoder, DeviceInfo
from nexus_firmware.meshcore_kiss import MeshcoreDecoder, Sub
from nexus_firmware.meshtastic import CONFIG_ONLY_NONCE, MeshtasticDecoder
from nexus_firmware.meshtastic_events import ConfigComplete, LoraConfig, Metadata
from nexus_firmware.meshtastic_stream import SERIAL_BAUD, WAKE
from nexus_firmware.rnode import RNodeDecoder
from nexus_firmware.rnode_events import PLATFORMS, Command, Detected, Firmware, Hardware
from nexus_node.base.errors import InputError


@dataclass(frozen=True, slots=True)
class Finding:
    """What is there: the driver's or dialect's name, words for people, the firmware's version if it has one.

    `farewell` is to be written before the port is closed. `region` is what a firmware that keeps the law by
    itself says of where it is, in its own words; empty where it does not tell.
    """

    kind: str
    words: str
    version: str
    baud: int
    farewell: bytes = b""
    region: str = ""


class _Judge(Protocol):
    def hear(self, data: bytes) -> Finding | None:
        """A finding, once nothing more is to be expected."""
        ...

    def end(self) -> Finding | None:
        """The time of its question is over: what is known so far?"""
        ...

    def poll_send(self) -> bytes | None:
        """A further question, after an answer."""
        ...


class _Silent:
    """Has no further questions."""

    def poll_send(self) -> bytes | None:
        return None


class _RNode(_Silent):
    def __init__(self) -> None:
        self._decoder = RNodeDecoder()
        self._detected = False
        self._version = ""
        self._platform = ""

    def hear(self, data: bytes) -> Finding | None:
        for event in self._decoder.feed(data):
            match event:
                case Detected():
                    self._detected = True
                case Firmware(major, minor):
                    self._version = f"{major}.{minor}"
                case Hardware(Command.PLATFORM, value):
                    self._platform = PLATFORMS.get(value, "")
        return self.end() if self._version and self._platform else None

    def end(self) -> Finding | None:
        if not self._detected:
            return None
        board = f" on {self._platform}" if self._platform else ""
        return Finding("rnode", f"RNode{board}", self._version, rnode.BAUD)


class _Meshcore(_Silent):
    def __init__(self) -> None:
        self._decoder = MeshcoreDecoder(signal_reports=False)
        self._answers: dict[Sub, str] = {}

    def hear(self, data: bytes) -> Finding | None:
        for event in self._decoder.feed(data):
            if isinstance(event, meshcore_kiss.Answer):
                self._answers[event.to] = str(event.value)
        return self.end() if Sub.VERSION in self._answers and Sub.DEVICE_NAME in self._answers else None

    def end(self) -> Finding | None:
        if not self._answers.keys() & {Sub.PING, Sub.VERSION, Sub.DEVICE_NAME}:
            return None
        name = self._answers.get(Sub.DEVICE_NAME, "")
        words = f"MeshCore KISS modem ({name})" if name else "MeshCore KISS modem"
        return Finding("meshcore_kiss", words, self._answers.get(Sub.VERSION, ""), meshcore_kiss.BAUD)


class _Companion(_Silent):
    def __init__(self) -> None:
        self._decoder = CompanionDecoder()

    def hear(self, data: bytes) -> Finding | None:
        for event in self._decoder.feed(data):
            if isinstance(event, DeviceInfo):
                version = f"protocol {event.version}"
                return Finding("meshcore", "MeshCore companion", version, meshcore_companion.BAUD)
        return None

    def end(self) -> Finding | None:
        return None


class _Meshtastic(_Silent):
    def __init__(self) -> None:
        self._decoder = MeshtasticDecoder()
        self._version = ""
        self._region = ""
        self._answered = False

    def hear(self, data: bytes) -> Finding | None:
        for event in self._decoder.feed(data):
            self._answered = True
            if isinstance(event, Metadata):
                self._version = event.firmware
            if isinstance(event, LoraConfig):
                self._region = event.region
            if isinstance(event, ConfigComplete):
                return self.end()
        return None

    def end(self) -> Finding | None:
        if not self._answered:
            return None
        farewell = meshtastic.disconnect()
        return Finding("meshtastic", "Meshtastic", self._version, SERIAL_BAUD, farewell, self._region)


class _Text:
    """A module with text commands; it is asked for its version once it has answered."""

    def __init__(self, dialect: Dialect, words: str, version: Callable[[str], str | None]) -> None:
        self._dialect = dialect
        self._words = words
        self._read_version = version
        self._decoder = AtDecoder(dialect)
        self._answered = False
        self._question: bytes | None = None

    def hear(self, data: bytes) -> Finding | None:
        for event in self._decoder.feed(data):
            if isinstance(event, Ok) and not self._answered:
                self._answered = True
                self._question = self._dialect.version
            if isinstance(event, Answer | Restarted):
                version = self._read_version(event.text)
                if version:
                    return self._finding(version)
        return None

    def end(self) -> Finding | None:
        return self._finding("") if self._answered else None

    def poll_send(self) -> bytes | None:
        question, self._question = self._question, None
        return question

    def _finding(self, version: str) -> Finding:
        return Finding(self._dialect.name, self._words, version, self._dialect.baud)


def _after(mark: str) -> Callable[[str], str | None]:
    return lambda text: text.removeprefix(mark) if text.startswith(mark) else None


def _microchip(text: str) -> str | None:
    return text if text.startswith(("RN2483", "RN2903")) else None


class _E22(_Silent):
    def __init__(self) -> None:
        self._decoder = RegisterDecoder()

    def hear(self, data: bytes) -> Finding | None:
        for event in self._decoder.feed(data):
            if isinstance(event, Registers) and event.address == e22.PRODUCT_ADDRESS:
                return Finding("e22", "Ebyte E22", event.data.hex(), e22.CONFIGURATION_BAUD)
        return None

    def end(self) -> Finding | None:
        return None


@dataclass(frozen=True)
class _Question:
    kinds: tuple[str, ...]
    baud: int
    line: Callable[[], bytes]
    seconds: float
    judges: tuple[Callable[[], _Judge], ...]


_QUESTIONS = (
    _Question(("rnode",), rnode.BAUD, lambda: rnode.DETECTION, 0.5, (_RNode,)),
    _Question(("meshcore_kiss",), meshcore_kiss.BAUD, lambda: meshcore_kiss.PROBE, 0.5, (_Meshcore,)),
    _Question(
        ("meshcore",), meshcore_companion.BAUD, lambda: meshcore_companion.DEVICE_QUERY, 0.5, (_Companion,)
    ),
    _Question(
        ("meshtastic",),
        SERIAL_BAUD,
        lambda: WAKE + meshtastic.want_config(CONFIG_ONLY_NONCE),
        2.0,
        (_Meshtastic,),
    ),
    _Question(
        ("rylr998", "rak3172"),
        RYLR998.baud,
        # The first line end closes what the questions before have left in the module's buffer.
        lambda: b"\r\nAT\r\n",
        1.0,
        (
            lambda: _Text(RYLR998, "REYAX RYLR", _after("+VER=")),
            lambda: _Text(RAK3172, "RAK3172", _after("AT+VER=")),
        ),
    ),
    _Question(
        ("rn2483",),
        RN2483.baud,
        lambda: b"\r\n" + RN2483.version,
        1.0,
        (lambda: _Text(RN2483, "Microchip RN2483 or RN2903", _microchip),),
    ),
    _Question(
        ("e22",),
        e22.CONFIGURATION_BAUD,
        lambda: e22.read_registers(e22.PRODUCT_ADDRESS, e22.PRODUCT_SIZE),
        0.5,
        (_E22,),
    ),
)
KINDS = tuple(kind for question in _QUESTIONS for kind in question.kinds)


class Probe:
    """Asks one question after the other until something answers. It ends `done`, with or without a `finding`.

    `settle` are seconds to listen first: boards that reset when their port is opened are deaf for two.
    """

    def __init__(self, now: float, *, kinds: tuple[str, ...] = KINDS, settle: float = 0.0) -> None:
        self._questions = [one for one in _QUESTIONS if set(one.kinds) & set(kinds)]
        self._at = 0
        self._unwritten = True
        self._starts = now + settle
        self._until = now + settle
        self._judges: list[_Judge] = []
        self.finding: Finding | None = None
        self.heard = 0
        """Bytes that came, whatever they were."""
        self.left_out: list[str] = []
        """Kinds that could not be asked, with the reason in a sentence each."""
        self._begin()

    @property
    def done(self) -> bool:
        return self.finding is not None or self._at >= len(self._questions)

    @property
    def baud(self) -> int:
        """What the port must be set to now."""
        return (
            self._questions[min(self._at, len(self._questions) - 1)].baud if self._questions else rnode.BAUD
        )

    def poll_send(self, now: float) -> bytes | None:
        """What to write now, at `baud`, or nothing."""
        if self.done or now < self._starts:
            return None
        if self._unwritten:
            self._unwritten = False
            return self._questions[self._at].line()
        return next((line for judge in self._judges if (line := judge.poll_send())), None)

    def receive(self, data: bytes) -> None:
        """Take what came."""
        self.heard += len(data)
        if not self.done:
            self._note([judge.hear(data) for judge in self._judges])

    def next_deadline(self) -> float | None:
        """When to call `expire` and `poll_send` again."""
        return None if self.done else self._starts if self._unwritten else self._until

    def expire(self, now: float) -> None:
        """Go on to the next question when this one's time is over."""
        while not self.done and not self._unwritten and now >= self._until:
            self._note([judge.end() for judge in self._judges])
            if self.finding is None:
                self._at += 1
                self._unwritten = True
                self._starts = now
                self._begin()

    def _begin(self) -> None:
        """Set the judges of the next question beside the ones before, which hear on at the same baud rate."""
        while self._at < len(self._questions):
            question = self._questions[self._at]
            before = self._questions[self._at - 1].baud if self._at else None
            try:
                fresh = [make() for make in question.judges]
                question.line()
            except InputError as error:
                self.left_out.append(f"{', '.join(question.kinds)}: {error}")
                del self._questions[self._at]
                continue
            self._judges = (self._judges if before == question.baud else []) + fresh
            self._until = self._starts + question.seconds
            return

    def _note(self, found: list[Finding | None]) -> None:
        self.finding = next((one for one in found if one is not None), None)
