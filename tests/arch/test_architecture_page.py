"""ARCHITECTURE.md names every product file, and nothing that is not there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
PRODUCT = ("nexus_node", "drivers/nexus_drivers", "firmware_bridge/nexus_firmware", "sim/nexus_sim")
PATH = re.compile(r"`([\w.-]+/[\w./-]*)`")
FILE = re.compile(r"`([\w./-]+\.py)`")


def named() -> set[str]:
    """Every path on the page, from the root; in the first column of a room's table they start at the room."""
    paths = set()
    room = ""
    for line in PAGE.splitlines():
        if line.startswith("#"):
            found = re.fullmatch(r"### `([\w/]+/)`", line)
            room = found[1] if found else ""
        _, first, rest = line.split("|", 2) if room and line.startswith("| ") else ("", "", line)
        paths |= {room + path for path in FILE.findall(first)}
        paths |= {path for path in PATH.findall(rest) if "NNNN" not in path}
    return paths


def modules() -> list[str]:
    found = [
        path.relative_to(ROOT).as_posix()
        for package in PRODUCT
        for path in (ROOT / package).rglob("*.py")
        if path.name != "__init__.py"
    ]
    return sorted(found)


def test_what_is_named_exists() -> None:
    paths = named()
    assert len(paths) > 100
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("package", PRODUCT)
def test_every_module_is_named(package: str) -> None:
    own = [module for module in modules() if module.startswith(package)]
    assert own
    assert [module for module in own if module not in named()] == []


def test_functions_on_the_way_of_a_message_exist() -> None:
    """`Class.method` and `function` after a path are really in the code."""
    code = "".join((ROOT / module).read_text(encoding="utf-8") for module in modules())
    way = PAGE.split("## The way of a message down")[1].split("## Rooms")[0]
    names = {
        name.split(".")[-1] for name in re.findall(r"`(\w+(?:\.\w+)?)`", way) if not name.endswith(".py")
    }
    words = {"sent", "delivered", "status", "atomic", "ready"}  # facts, verbs and attributes
    assert len(names) > 25
    assert [name for name in sorted(names - words) if not re.search(rf"(def|class) {name}\b", code)] == []
