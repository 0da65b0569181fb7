"""The protobufs of the `meshtastic` package, and nothing else of it.

Importing the package itself takes a quarter of a second, starts a thread and reseeds `random`
(radio.md section 1.8). So its parent module is left out: the protobufs need only its directory.
"""

import importlib
import importlib.util
import sys
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

from nexus_node.base.errors import InputError

_NAME = "meshtastic"


class Protobufs(NamedTuple):
    """The generated modules."""

    mesh: Any
    portnums: Any
    config: Any
    module_config: Any
    channel: Any
    telemetry: Any
    DecodeError: type[Exception]


@cache
def protobufs() -> Protobufs:
    """Load them, once. Raises `InputError` when the package is not installed."""
    stand_in = None
    if _NAME not in sys.modules:
        spec = importlib.util.find_spec(_NAME)
        if spec is None or spec.submodule_search_locations is None:
            raise InputError(
                "the Python package meshtastic is not installed; install nexus-node with its radio extra:"
                " pip install 'nexus-node[radio]'"
            )
        stand_in = ModuleType(_NAME)
        stand_in.__path__ = list(spec.submodule_search_locations)
        sys.modules[_NAME] = stand_in
    try:
        names = ("mesh", "portnums", "config", "module_config", "channel", "telemetry")
        modules = {name: importlib.import_module(f"{_NAME}.protobuf.{name}_pb2") for name in names}
        return Protobufs(
            **modules, DecodeError=importlib.import_module("google.protobuf.message").DecodeError
        )
    finally:
        # Whoever imports the package later gets all of it.
        if stand_in is not None and sys.modules.get(_NAME) is stand_in:
            del sys.modules[_NAME]
