"""What the suites for stores say when a store does something else than the port says."""

from collections.abc import Callable


def expect(found: object, wanted: object, what: str) -> None:
    """Raise `AssertionError` unless the two are equal."""
    if found != wanted:
        raise AssertionError(f"{what}: {found!r} instead of {wanted!r}")


def expect_raises(error: type[Exception], action: Callable[[], object], what: str) -> None:
    """Raise `AssertionError` unless `action` raises `error`."""
    try:
        action()
    except error:
        return
    raise AssertionError(f"{what}: no {error.__name__}")
