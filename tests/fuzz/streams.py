"""Every decoder of a byte stream: how to make one, what valid streams look like, what it must always find."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from nexus_firmware import cobs, e22, meshcore_companion, meshcore_kiss, rnode
from nexus_firmware.at import AtDecoder, Ok
from nexus_firmware.at_dialects import RYLR998
from nexus_firmware.cobs import CobsDecoder
from nexus_firmware.e22 import RegisterDecoder
from nexus_firmware.kiss import KissDecoder, encode_kiss
from nexus_firmware.meshcore_companion import CompanionDecoder
from nexus_firmware.meshcore_kiss import MeshcoreDecoder
from nexus_firmware.meshtastic import MeshtasticDecoder
from nexus_firmware.meshtastic_events import ConfigComplete
from nexus_firmware.meshtastic_pb import protobufs
from nexus_firmware.meshtastic_stream import FrameFinder, encode_frame
from nexus_firmware.rnode import RNodeDecoder
from nexus_firmware.rnode_events import Ready


class Decoder(Protocol):
    def feed(self, data: bytes) -> list[Any]: ...


@dataclass(frozen=True)
class Stream:
    """A decoder under test. After any bytes whatever, `sure` makes `found` its last event."""

    make: Callable[[], Decoder]
    valid: SearchStrategy[bytes]
    sure: bytes
    found: Any
    memory: int = 16_384
    """Most bytes it may keep between two calls."""


awkward = st.lists(st.sampled_from([0x00, 0x0A, 0x0D, 0x94, 0xC0, 0xC3, 0xDB, 0xDC, 0xDD]), max_size=60).map(
    bytes
)
_body = st.binary(max_size=40) | awkward


def _joined(frames: SearchStrategy[bytes]) -> SearchStrategy[bytes]:
    return st.lists(frames, max_size=5).map(b"".join)


def _packet(port: int, payload: bytes, request_id: int) -> bytes:
    mesh = protobufs().mesh
    data = mesh.Data(portnum=port, payload=payload, request_id=request_id)
    return mesh.FromRadio(packet=mesh.MeshPacket(decoded=data, id=5)).SerializeToString()


_from_radio = st.one_of(
    st.builds(_packet, st.sampled_from([1, 5, 67, 256]), _body, st.integers(0, 2)),
    st.builds(
        lambda number, words: (
            protobufs()
            .mesh.FromRadio(clientNotification={"reply_id": number, "message": words})
            .SerializeToString()
        ),
        st.integers(0, 2**32 - 1),
        st.text(max_size=20),
    ),
    st.integers(1, 2**32 - 1).map(
        lambda number: protobufs().mesh.FromRadio(config_complete_id=number).SerializeToString()
    ),
)

STREAMS: dict[str, Stream] = {
    "nexus_firmware.kiss.KissDecoder": Stream(
        lambda: KissDecoder(508),
        _joined(st.builds(encode_kiss, st.integers(0, 255), _body)),
        encode_kiss(7, b"sure"),
        (7, b"sure"),
    ),
    "nexus_firmware.rnode.RNodeDecoder": Stream(
        RNodeDecoder,
        _joined(
            st.one_of(
                st.builds(
                    encode_kiss,
                    st.sampled_from([0, 1, 4, 0x0F, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28, 0x50, 0x55, 0x90]),
                    _body,
                ),
                st.just(rnode.DETECTION),
            )
        ),
        encode_kiss(0x0F, b"\1"),
        Ready(True),
    ),
    "nexus_firmware.meshcore_kiss.MeshcoreDecoder": Stream(
        MeshcoreDecoder,
        _joined(
            st.one_of(
                st.builds(encode_kiss, st.sampled_from([0, 6]), _body),
                st.builds(
                    lambda code, body: encode_kiss(6, bytes((code,)) + body),
                    st.sampled_from([*range(0x81, 0x9B), 0xF0, 0xF1, 0xF8, 0xF9]),
                    st.binary(max_size=12),
                ),
            )
        ),
        encode_kiss(6, b"\x97"),
        meshcore_kiss.Answer(meshcore_kiss.Sub.PING, None),
    ),
    "nexus_firmware.meshcore_companion.CompanionDecoder": Stream(
        CompanionDecoder,
        _joined(
            st.builds(
                lambda kind, body: b">" + (1 + len(body)).to_bytes(2, "little") + bytes((kind,)) + body,
                st.sampled_from([0, 1, 5, 7, 10, 13, 18, 27, 0x83]),
                _body | st.binary(min_size=57, max_size=80),
            )
        ),
        # A length that was spoilt swallows up to 176 bytes.
        b">\x01\x00\x0a" * 60,
        meshcore_companion.NoMore(),
    ),
    "nexus_firmware.cobs.CobsDecoder": Stream(
        lambda: CobsDecoder(240),
        _joined(_body | st.binary(min_size=1, max_size=60).map(lambda one: cobs.encode_frame(one, 240))),
        cobs.encode_frame(b"sure", 240),
        cobs.Received(b"sure"),
    ),
    # A packet's line claims up to 255 bytes.
    "nexus_firmware.at.AtDecoder": Stream(
        lambda: AtDecoder(RYLR998),
        _joined(
            _body
            | st.sampled_from(
                [b"+OK\r\n", b"+ERR=17\r\n", b"+READY\r\n", b"+VER=1\r\n", b"\r\n", b"+RCV=1,200,"]
            )
            | st.builds(
                lambda data, lie: b"+RCV=1,%d,%b,-80,10\r\n" % (len(data) + lie, data),
                st.binary(max_size=60),
                st.sampled_from([0, 0, 0, 1, -1, 100]),
            )
        ),
        bytes(260) + b"\r\n+OK\r\n",
        Ok(),
    ),
    # An answer claims up to 16 registers.
    "nexus_firmware.e22.RegisterDecoder": Stream(
        RegisterDecoder,
        _joined(
            _body
            | st.builds(
                lambda address, data: bytes((0xC1, address, len(data))) + data,
                st.integers(0, 8),
                st.binary(min_size=1, max_size=8),
            )
            | st.just(b"\xff\xff\xff")
        ),
        bytes(20) + b"\xc1\x05\x01\x09",
        e22.Registers(5, b"\x09"),
    ),
    # A header claims up to 512 bytes, without a checksum: after so many others the next frame is found.
    "nexus_firmware.meshtastic_stream.FrameFinder": Stream(
        lambda: FrameFinder(lambda payload: payload),
        _joined(_body.map(encode_frame)),
        bytes(520) + encode_frame(b"sure"),
        b"sure",
    ),
    "nexus_firmware.meshtastic.MeshtasticDecoder": Stream(
        MeshtasticDecoder,
        _joined(_body | _from_radio.map(encode_frame)),
        bytes(520) + encode_frame(protobufs().mesh.FromRadio(config_complete_id=5).SerializeToString()),
        ConfigComplete(5),
    ),
}
"""By module and name, as `test_every_decoder_is_in_the_table` finds them."""
