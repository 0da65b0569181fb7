"""Configuration: what is taken, and the sentence for everything that is not (contract.md)."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_node.base.errors import ConfigError
from nexus_node.base.ids import NodeId
from nexus_node.config import (
    CarrierConfig,
    LogConfig,
    MessagesConfig,
    NodeConfig,
    RelayConfig,
    StoreConfig,
    default_name,
    load_config,
    parse_carrier_option,
    write_template,
)
from nexus_node.config.load import CARRIER, SECTIONS, TOP, check_config
from nexus_node.proto.paths import Policy
from nexus_node.wire.uri import make_uri

RELAYS = tuple(NodeId(bytes([number]) * 32) for number in range(5))
LINKS = tuple(make_uri(relay, "roof") for relay in RELAYS)
FULL = f"""
name = "alice"
relays = ["{LINKS[0]}", "{LINKS[1]}"]
path_policy = "largest-mtu"
[store]
quota_mb = 100
[relay]
enabled = true
serve = "trusted"
memory_only = true
ttl_days = 7
quota_mb = 10
stranger_interval_s = 0
stranger_per_day = 5
trusted_per_day = 50
[messages]
read_receipts = true
[log]
level = "debug"
[[carrier]]
driver = "udp"
bind = "127.0.0.1:5001"
peers = ["127.0.0.1:5002"]
lan = true
[[carrier]]
driver = "rnode"
label = "roof"
bps = 1200
mtu = 484
duty_cycle = 0.01
frequency = 869525000
"""


@pytest.fixture
def load(tmp_path: Path):
    def write_and_load(text: str | bytes) -> NodeConfig:
        path = tmp_path / "config.toml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return load_config(path)

    return write_and_load


def test_every_key_is_taken(load) -> None:
    assert load(FULL) == NodeConfig(
        name="alice",
        relays=RELAYS[:2],
        path_policy="largest-mtu",
        store=StoreConfig(100),
        relay=RelayConfig(True, "trusted", True, 7, 10, 0, 5, 50),
        messages=MessagesConfig(True),
        log=LogConfig("debug"),
        carriers=(
            CarrierConfig("udp", {"bind": "127.0.0.1:5001", "peers": ["127.0.0.1:5002"], "lan": True}),
            CarrierConfig("rnode", {"frequency": 869525000}, "roof", 1200, 484, 0.01),
        ),
    )


def test_defaults_are_the_contracts(load) -> None:
    config = load("")
    assert config == NodeConfig(name=default_name())
    assert config.store.quota_mb == 512
    assert config.relay == RelayConfig(False, "contacts", False, 30, 256, 10, 20, 200)  # S3's numbers
    assert (config.relays, config.path_policy) == ((), "balanced")
    assert config.messages.read_receipts is False


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('nmae = "x"', 'unknown key "nmae"; did you mean "name"?'),
        ("[stroe]\nquota_mb = 1", 'unknown key "stroe"; did you mean "store"?'),
        ("[store]\nquota = 1", 'unknown key "quota" in [store]; did you mean "quota_mb"?'),
        ("[log]\nzzzzz = 1", 'unknown key "zzzzz" in [log]; known here: level'),
        (
            "[store]\nquota_mb = 'big'",
            'quota_mb in [store] is "big", but must be a whole number of megabytes from 1',
        ),
        ("[store]\nquota_mb = true", "quota_mb in [store] is true, but must be a whole number"),
        ("[store]\nquota_mb = 0", "quota_mb in [store] is 0"),
        ("[store]\nquota_mb = 1979-05-27", 'quota_mb in [store] is "1979-05-27"'),
        ("store = 5", "store must be a table: put its keys below a line [store]"),
        ("name = 5", "name is 5, but must be printable text of 1 to 64 bytes"),
        ("name = '" + "ü" * 33 + "'", "name is "),
        (
            "[relay]\nserve = 'all'",
            'serve in [relay] is "all", but must be "contacts" or "trusted" or "anyone"',
        ),
        (
            "[relay]\nttl_days = 31",
            "ttl_days in [relay] is 31, but must be a whole number of days from 1 to 30",
        ),
        ("[relay]\nstranger_interval_s = -1", "must be a whole number of seconds from 0"),
        ("[relay]\nstranger_per_day = 1.5", "must be a whole number of messages from 0"),
        ("path_policy = 'shortest'", 'path_policy is "shortest", but must be "cheapest" or "fastest" or'),
        ("relays = 'nexus:aa'", "must be a list of at most 4 contact links, such as"),
        ("relays = [5]", "relays is [5], but must be a list of at most 4 contact links"),
        (f"relays = {[*LINKS]}", "must be a list of at most 4 contact links"),
        (
            f"relays = ['{LINKS[0]}', '{LINKS[1][:-1]}']",
            "entry 2 of relays is no contact link that can be used: the link's end is missing or mistyped",
        ),
        ("relays = ['https://example.org']", "entry 1 of relays is no contact link"),
        (
            f"relays = ['{LINKS[1]}', '{LINKS[0]}', '{make_uri(RELAYS[1])}']",
            "entries 1 and 3 of relays are the same node; remove one of them",
        ),
        ("[messages]\nread_receipts = 1", "read_receipts in [messages] is 1, but must be true or false"),
        ("[log]\nlevel = []", "level in [log] is [], but must be"),
        ("[carrier]\ndriver = 'tcp'", "put each below its own line [[carrier]]"),
        (
            "[[carrier]]\nlisten = 'x'",
            'driver in [[carrier]] number 1 is missing; name one, such as driver = "tcp"',
        ),
        (
            "[[carrier]]\ndriver='tcp'\n[[carrier]]\ndriver='tcp'\nmtu=5",
            "mtu in [[carrier]] number 2 is 5, but must be a whole number of bytes from 136 to 65535",
        ),
        ("[[carrier]]\ndriver='tcp'\nduty_cycle=1.5", "duty_cycle in [[carrier]] number 1 is 1.5"),
        ("[[carrier]]\ndriver='tcp'\nduty_cycle=nan", "duty_cycle in [[carrier]] number 1 is NaN"),
        ("a = 1\nb = ", "not valid TOML: Invalid value (at end of document)"),
        ("a = 1\nb = x\n", "line 2"),
        (b"name = '\xff'", "is not UTF-8 text (byte 8)"),
    ],
)
def test_every_fault_is_one_sentence_that_names_it(load, tmp_path, text, words) -> None:
    with pytest.raises(ConfigError) as caught:
        load(text)
    sentence = str(caught.value)
    assert words in sentence
    assert sentence.startswith(str(tmp_path / "config.toml"))
    assert "\n" not in sentence


def test_a_missing_file_is_named_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"nexus --home {tmp_path} init"):
        load_config(tmp_path / "config.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)


VALUES = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(
    [*TOP, *SECTIONS, "carrier", *CARRIER, *(key for _, rules in SECTIONS.values() for key in rules)]
)
KEYS = NAMES | st.text(max_size=8)
TABLES = st.dictionaries(KEYS, VALUES, max_size=4)


@given(st.dictionaries(KEYS, VALUES | TABLES | st.lists(TABLES, max_size=3), max_size=5))
def test_whatever_toml_holds_is_taken_or_refused_with_words(values) -> None:
    try:
        assert isinstance(check_config(values), NodeConfig)
    except ConfigError as error:
        assert len(str(error)) > 10


@pytest.mark.parametrize("name", ["alice", 'qu"ote\\', "Ünïcödé 你", "it's"])
def test_the_template_says_what_the_defaults_are(load, name) -> None:
    text = write_template(name)
    assert load(text) == NodeConfig(name=name)
    # Every commented-out key, put in force, is valid and states its default.
    keys = [line.removeprefix("# ") for line in text.splitlines()]
    head = keys[: next(number for number, line in enumerate(keys) if line.startswith("Carriers:"))]
    in_force = "\n".join(line for line in head if line.startswith("[") or " = " in line)
    assert load(in_force) == NodeConfig(name=name)
    table = tomllib.loads(in_force)
    assert set(table) == {*TOP, *SECTIONS}
    assert {section: set(table[section]) for section in SECTIONS} == {
        section: set(rules) for section, (_, rules) in SECTIONS.items()
    }


def test_n4_the_path_policies_are_the_engines() -> None:
    expected = TOP["path_policy"]
    assert all(expected.accepts(policy.value) for policy in Policy)
    assert expected.expected.count('"') == 2 * len(Policy)
    assert NodeConfig().path_policy in set(Policy)


def test_the_templates_carriers_are_taken_by_their_drivers() -> None:
    from importlib.metadata import entry_points

    tail = write_template("x").split("# [[carrier]]", 1)[1]
    lines = ["[[carrier]]", *(line.removeprefix("# ") for line in tail.splitlines() if line)]
    both_ways = "\n".join(lines).replace("connect =", '[[carrier]]\ndriver = "tcp"\nconnect =')
    drivers = {entry.name: entry for entry in entry_points(group="nexus_node.drivers")}
    carriers = check_config(tomllib.loads(both_ways)).carriers
    assert [carrier.driver for carrier in carriers] == [
        *("tcp", "tcp", "udp"),
        *("rnode", "meshtastic", "meshcore_kiss", "uart_lora"),
    ]
    for carrier in carriers:
        assert drivers[carrier.driver].load().from_config(carrier.table) is not None


@pytest.mark.parametrize(
    ("option", "carrier"),
    [
        ("tcp listen=127.0.0.1:4001", CarrierConfig("tcp", {"listen": "127.0.0.1:4001"})),
        ("udp peers=a:1,b:2 lan=true", CarrierConfig("udp", {"peers": ["a:1", "b:2"], "lan": True})),
        ("udp peers=a:1,", CarrierConfig("udp", {"peers": ["a:1"]})),
        (
            "x n=5 f=0.5 e=1e3 neg=-3 off=false",
            CarrierConfig("x", {"n": 5, "f": 0.5, "e": 1000.0, "neg": -3, "off": False}),
        ),
        ("x a=nan b=inf c=1_000 d=", CarrierConfig("x", {"a": "nan", "b": "inf", "c": "1_000", "d": ""})),
        (
            "tcp label='my radio' bps=1200 mtu=484 duty_cycle=0.1",
            CarrierConfig("tcp", {}, "my radio", 1200, 484, 0.1),
        ),
        ("tcp label=42", CarrierConfig("tcp", {}, "42")),
        ("rnode port=tcp://host:7633?a=b", CarrierConfig("rnode", {"port": "tcp://host:7633?a=b"})),
    ],
)
def test_carrier_option(option, carrier) -> None:
    assert parse_carrier_option(option) == carrier


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("", "begin with its name"),
        ("listen=127.0.0.1:4001", "begin with its name"),
        ("tcp listen", "\"listen\" in --carrier 'tcp listen' is not of the form key=value"),
        ("tcp =5", "not of the form"),
        ("tcp mtu=5", "mtu in --carrier 'tcp mtu=5' is 5, but must be a whole number of bytes"),
        ("tcp bps=fast", "bps in --carrier 'tcp bps=fast' is \"fast\""),
        ("tcp a=1 a=2", "a is given twice"),
        ("tcp driver=udp", "driver is given twice"),
        ("tcp label='x", "a quote is not closed"),
    ],
)
def test_carrier_option_faults(option, words) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_carrier_option(option)
    assert words in str(caught.value)


@given(st.text(alphabet="tcp =,'\"\\019.-e\n", max_size=30) | st.text(max_size=30))
def test_any_carrier_option_is_taken_or_refused_with_words(option) -> None:
    try:
        assert parse_carrier_option(option).driver
    except ConfigError as error:
        assert len(str(error)) > 10
