"""Cookies: proof of address without state (N3)."""

from nexus_node.proto.cookie import CookieJar


class CountingRng:
    def __init__(self) -> None:
        self.count = 0

    def random_bytes(self, count: int) -> bytes:
        self.count += 1
        return self.count.to_bytes(count, "big")


def test_n3_cookie_is_bound_to_its_source_and_wears_out() -> None:
    jar = CookieJar(CountingRng())
    cookie = jar.bake(b"here", 0.0)
    assert jar.accepts(b"here", cookie, 1.0)
    assert not jar.accepts(b"there", cookie, 1.0)
    assert not jar.accepts(b"here", bytes(16), 1.0)
    assert jar.accepts(b"here", cookie, 61.0)
    assert not jar.accepts(b"here", cookie, 122.0)
    assert jar.accepts(b"here", jar.bake(b"here", 122.0), 123.0)
    late = jar.bake(b"here", 123.0)
    assert not jar.accepts(b"here", late, 10_000.0)
