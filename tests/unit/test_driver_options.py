"""What a person reads after a slip in a driver's configuration."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_drivers.options import Endpoint, Options, parse_endpoint
from nexus_drivers.sockets import endpoint_of, source_bytes
from nexus_drivers.tcp import TcpDriver
from nexus_drivers.udp import UdpDriver
from nexus_node.base.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:4001", "127.0.0.1", 4001),
        ("[::1]:1", "::1", 1),
        ("relay.example-1.org:65535", "relay.example-1.org", 65535),
        ("pi_4:80", "pi_4", 80),
    ],
)
def test_endpoints_are_read_and_written_alike(text: str, host: str, port: int) -> None:
    assert parse_endpoint(text) == Endpoint(host, port)
    assert str(parse_endpoint(text)) == text


@pytest.mark.parametrize(
    ("text", "cure"),
    [
        ("", "no port"),
        ("127.0.0.1", "no port"),
        ("::1", "no port"),
        ("::1:4001", "brackets"),
        ("[::g]:4001", "IPv6"),
        (":4001", "no valid host"),
        ("a b:4001", "no valid host"),
        ("host:", "not a number"),
        ("host:http", "not a number"),
        ("host:-1", "not a number"),
        ("host:٣", "not a number"),
        ("host:0", "1 to 65535"),
        ("host:65536", "1 to 65535"),
        ("host:99999999999", "not a number"),
    ],
)
def test_bad_endpoints_say_what_to_write(text: str, cure: str) -> None:
    with pytest.raises(ValueError, match=cure):
        parse_endpoint(text)


@given(st.text(max_size=40))
def test_endpoints_raise_nothing_but_value_error(text: str) -> None:
    try:
        endpoint = parse_endpoint(text, any_port=True)
    except ValueError:
        return
    assert parse_endpoint(str(endpoint), any_port=True) == endpoint


def said(driver: type[TcpDriver] | type[UdpDriver], **table: object) -> str:
    with pytest.raises(ConfigError) as caught:
        driver.from_config(table)
    return str(caught.value)


def test_sentences_name_key_value_and_cure() -> None:
    assert said(TcpDriver, lisen="a:1") == (
        'tcp: unknown key "lisen"; the nearest is "listen" (known here: connect, listen)'
    )
    assert said(TcpDriver, listen="a:1", connect="b:2") == (
        'tcp: listen = "a:1" stands beside connect = "b:2"; make two carriers of them'
    )
    assert "listen and connect are both missing" in said(TcpDriver)
    assert said(UdpDriver, bind="a:1", peers=["b:2", "c"]).startswith('udp: peers = "c" has no port; write')
    assert "leave one out" in said(UdpDriver, peers=["b:2", "b:2"])
    assert "without lan = true" in said(UdpDriver, bind="a:1", lan_interface="eth0")
    assert 'bind "[::]"' in said(UdpDriver, bind="[fe80::1]:1", lan=True)
    assert "bind is missing" in said(UdpDriver)


def test_values_are_of_their_type_and_within_bounds() -> None:
    table = {"peers": ["a:1", "[::1]:2"], "lan": True, "lan_port": 5, "bind": 5}
    options = Options("udp", table, table.keys())
    assert options.endpoints("peers") == (Endpoint("a", 1), Endpoint("::1", 2))
    assert Options("udp", {"peers": "a:1"}, ["peers"]).endpoints("peers") == (Endpoint("a", 1),)
    assert options.flag("lan") is True
    assert options.whole("lan_port", 1, 1, 9) == 5
    with pytest.raises(ConfigError, match="lan_port = 5 must be a whole number from 6 to 9"):
        options.whole("lan_port", 1, 6, 9)
    with pytest.raises(ConfigError, match="lan = true must be a whole number"):
        options.whole("lan", 1, 0, 9)
    with pytest.raises(ConfigError, match="bind = 5 must be a text; put it in quotes"):
        options.endpoint("bind")


def test_source_bytes_are_the_same_for_both_socket_families() -> None:
    v4, mapped = ("192.0.2.7", 4001), ("::ffff:192.0.2.7", 4001, 0, 0)
    assert source_bytes(v4) == source_bytes(mapped)
    assert len(source_bytes(v4)) == 18
    assert endpoint_of(v4) == endpoint_of(mapped) == Endpoint("192.0.2.7", 4001)
    assert source_bytes(("fe80::1", 1, 0, 2)) != source_bytes(("fe80::1", 1, 0, 3))
