"""The benchmark of bytes counts what the protocol pages say (docs/protocol/README.md)."""

from bench.wirebytes import link_bytes


def test_what_links_need() -> None:
    sizes = {what: (own, shared) for what, own, shared in link_bytes()}
    assert sizes["HELLO"] == ("-", 35)
    assert sizes["handshake once known, IK1"] == (102, 123)
    assert sizes["handshake once known, IK2"] == (55, 76)
    assert sizes["a sealed frame beyond its one item"] == (20, 22)
    assert sizes["new keys, three frames"] == (155, "-")
