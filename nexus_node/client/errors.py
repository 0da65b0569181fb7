"""What can go wrong between a face and its node."""

from collections.abc import Mapping
from typing import Any

from nexus_node.base.errors import NexusError


class NodeNotRunning(NexusError):
    """No node answers on the control socket; the text says how to start one."""


class ControlError(NexusError):
    """The node answered a request with an error.

    `code` is for programs (docs/control.md lists them), the text for people; `details` holds any
    further fields of the answer, such as the `state` a message had when a `wait` ran out of time.
    """

    def __init__(self, code: str, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.details = dict(details or {})
