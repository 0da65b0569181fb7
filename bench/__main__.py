"""`python -m bench [--peer PYTHON] [NAME ...]`: measure, print JSON lines, and write docs/benchmarks.md.

With names only those are measured, their tables are printed, and the document is left alone.
"""

import argparse
import os
import platform
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
    wirebytes,
)
from bench.peers import Peer, find_peer
from bench.report import Section

_DOCUMENT = Path(__file__).parents[1] / "docs" / "benchmarks.md"
_MEASUREMENTS = {
    "bytes": wirebytes.run,
    "meshbytes": meshbytes.run,
    "reconcile": reconcile.run,
    "process": process.run,
    "ceiling": ceiling.run,
    "chunks": chunks.run,
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
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(_MEASUREMENTS))
    options = parser.parse_args()
    if unknown := set(options.names) - set(_MEASUREMENTS):
        parser.error(
            f"there is no measurement {', '.join(sorted(unknown))}; choose of {', '.join(_MEASUREMENTS)}"
        )
    peer = find_peer(options.peer)
    load = os.getloadavg()[0]
    sections = [_MEASUREMENTS[name](peer) for name in options.names or _MEASUREMENTS]
    text = _document(sections, peer, load)
    if options.names:
        print(text)
    else:
        _DOCUMENT.write_text(text)


def _document(sections: list[Section], peer: Peer | None, load: float) -> str:
    machine = f"{_CORES} cores ({platform.machine()}), {platform.system()}, Python {_PYTHON}"
    busy = ": it was busy, so rates are too low and times too long" if load > _CORES / 2 else ""
    peers = peer.versions if peer is not None else "not installed"
    head = (
        "# Benchmarks\n\n"
        "Written by `make bench` (`python -m bench`); do not edit. `python -m bench NAME` measures one "
        "part. Rates and times drift with the machine and its load: the ratios of one run count.\n\n"
        f"Machine: {machine}, load {load:.1f} at the start{busy}. "
        f"Peers: {peers} (`--peer PYTHON`, RNS_PY or `.peer/bin/python`)."
    )
    return "\n\n".join([head, *(section.markdown() for section in sections)]) + "\n"


if __name__ == "__main__":
    main()
