"""`python -m bench [--peer PYTHON] [NAME ...]`: measure, print JSON lines, and write docs/benchmarks.md.

With names only those are measured and their tables printed; `--keep` puts them into the document in place of
those that it has.
"""

import argparse
import os
import platform
import re
from pathlib import Path

from bench import (
    bulk,
    ceiling,
    chunks,
    contacts,
    groups,
    hop,
    links,
    meshbytes,
    process,
    radio,
    reconcile,
    relay,
    simulator,
    wear,
    wirebytes,
)
from bench.peers import Peer, find_peer

_DOCUMENT = Path(__file__).parents[1] / "docs" / "benchmarks.md"
_MEASUREMENTS = {
    "bytes": wirebytes.run,
    "meshbytes": meshbytes.run,
    "reconcile": reconcile.run,
    "process": process.run,
    "ceiling": ceiling.run,
    "chunks": chunks.run,
    "wear": wear.run,
    "groups": groups.run,
    "hop": hop.run,
    "bulk": bulk.run,
    "links": links.run,
    "radio": radio.run,
    "relay": relay.run,
    "contacts": contacts.run,
    "simulator": simulator.run,
}
_CORES = os.cpu_count() or 1
_PYTHON = platform.python_version()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--peer", metavar="PYTHON", help="a Python that has rns and lxmf (default: RNS_PY, .peer)"
    )
    parser.add_argument("--keep", action="store_true", help="put the tables of these names into the document")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(_MEASUREMENTS))
    options = parser.parse_args()
    if unknown := set(options.names) - set(_MEASUREMENTS):
        parser.error(
            f"there is no measurement {', '.join(sorted(unknown))}; choose of {', '.join(_MEASUREMENTS)}"
        )
    peer = find_peer(options.peer)
    parts = _parts(_DOCUMENT.read_text()) if options.names and options.keep else {}
    for name in options.names or _MEASUREMENTS:
        load = os.getloadavg()[0]
        section = _MEASUREMENTS[name](peer)
        parts[section.title] = section.markdown(_conditions(load))
        if options.names:
            print(parts[section.title], end="\n\n")
    if options.keep or not options.names:
        _DOCUMENT.write_text("\n\n".join([_head(peer), *parts.values()]) + "\n")


def _parts(document: str) -> dict[str, str]:
    """The sections of a document by their titles."""
    found = re.split(r"^(?=## )", document, flags=re.MULTILINE)[1:]
    return {part.partition("\n")[0].removeprefix("## "): part.strip() for part in found}


def _conditions(load: float) -> str:
    busy = ": it was busy, so rates are too low and times too long" if load > _CORES / 2 else ""
    return f"The machine's load was {load:.1f} at the start{busy}."


def _head(peer: Peer | None) -> str:
    machine = f"{_CORES} cores ({platform.machine()}), {platform.system()}, Python {_PYTHON}"
    peers = peer.versions if peer is not None else "not installed"
    return (
        "# Benchmarks\n\n"
        "Written by `make bench` (`python -m bench`), or in parts by `python -m bench --keep NAME`; do not "
        "edit. Rates and times drift with the machine and its load: the ratios of one part count.\n\n"
        f"Machine: {machine}. Peers: {peers} (`--peer PYTHON`, RNS_PY or `.peer/bin/python`)."
    )


if __name__ == "__main__":
    main()
