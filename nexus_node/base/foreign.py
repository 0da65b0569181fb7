"""People on other networks, who have no key of ours: how they are named inside the node (docs/bridge.md).

Such a person has a node id like everybody, but one that is no key: a mark, then the Meshtastic node number.
Nobody can have a key with that id, so nothing that comes over a link is ever taken for theirs.
"""

import re

from nexus_node.base.errors import InputError
from nexus_node.base.ids import NodeId

SCHEME = "meshtastic:"
_MARK = b"not a key: meshtastic".ljust(28, b"\0")
_URI = re.compile(r"meshtastic:!?([0-9a-fA-F]{8})")
_BROADCAST = 0xFFFFFFFF


def foreign_id(number: int) -> NodeId:
    """The node id that stands for a Meshtastic node."""
    return NodeId(_MARK + number.to_bytes(4))


def is_foreign(node_id: NodeId) -> bool:
    """Whether that is somebody on another network."""
    return node_id.startswith(_MARK)


def foreign_number(node_id: NodeId) -> int:
    """The Meshtastic node number of somebody foreign."""
    return int.from_bytes(node_id[len(_MARK) :])


def foreign_uri(node_id: NodeId) -> str:
    """What `nexus contact add` takes for somebody foreign."""
    return f"{SCHEME}!{foreign_number(node_id):08x}"


def parse_foreign(uri: str) -> NodeId:
    """The node id for `meshtastic:!aabbccdd`; the `!` may be left out. Raises InputError."""
    match = _URI.fullmatch(uri.strip())
    number = int(match[1], 16) if match is not None else 0
    if not 0 < number < _BROADCAST:
        raise InputError(
            f"{uri!r} names no Meshtastic node; write meshtastic: and its eight digits, such as"
            " meshtastic:aabbccdd"
        )
    return foreign_id(number)
