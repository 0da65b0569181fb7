"""Logs go to standard error, where systemd or a person reads them. They name no text and no key."""

import logging
import sys


def set_up_logs(level: str) -> None:
    """`level` is debug, info, warning or error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
