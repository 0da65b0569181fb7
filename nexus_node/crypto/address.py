"""Addresses; apart from the other keys' code because the command line computes them without PyNaCl."""

from functools import lru_cache
from hashlib import blake2b

from nexus_node.base.ids import ADDRESS_SIZE, Address, NodeId


@lru_cache(4096)  # as many as a node knows destinations: it is asked for with every announce
def address_of(node_id: NodeId) -> Address:
    """The node's 16-byte address: BLAKE2b-512 of the node id, truncated (N1)."""
    return Address(blake2b(node_id).digest()[:ADDRESS_SIZE])
