"""What every verb gets: the home, the way to the node, and how to answer.

`nexus --help` loads this module, so it imports at its top only what costs nothing.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pathlib import Path

    from nexus_node.client.sync import ControlClient

Item = dict[str, Any]


class App:
    """One invocation of `nexus`."""

    def __init__(self, home: str | None, as_json: bool) -> None:
        self._home = home
        self.as_json = as_json

    @property
    def home(self) -> "Path":
        """The absolute path of the node's home, whether or not it exists."""
        from pathlib import Path

        if self._home:
            return Path(self._home).expanduser().absolute()
        from platformdirs import user_data_path

        return user_data_path("nexus-node")

    def node(self) -> "ControlClient":
        """Connect to the running node; a context manager. Raises `NodeNotRunning`."""
        from nexus_node.client.sync import ControlClient

        return ControlClient(self.home)

    def answer(self, result: Item, human: Callable[[Item], None]) -> None:
        """Give one result: as JSON, or by `human`."""
        if self.as_json:
            write_json(result)
        else:
            human(result)

    def answer_each(self, items: Iterable[Item], human: Callable[[Iterable[Item]], None]) -> None:
        """Give a stream: as JSON, each line as soon as it is there, or by `human`."""
        if not self.as_json:
            human(items)
            return
        for item in items:
            write_json(item)

    def note(self, text: str) -> None:
        """Say something to the person that is no part of the answer."""
        click.echo(text, err=True)


def write_json(item: Mapping[str, Any]) -> None:
    """Write one line of JSON, in ASCII, which is safe on any terminal, and flush it."""
    import json

    sys.stdout.write(json.dumps(item) + "\n")
    sys.stdout.flush()


BPS = click.IntRange(0, 10**12)
"""A bandwidth on the command line, in bits per second."""

pass_app = click.make_pass_decorator(App)


def _set_json(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    app = ctx.find_object(App)
    if app is not None:
        app.as_json |= value


json_option = click.option(
    "--json",
    is_flag=True,
    expose_value=False,
    callback=_set_json,
    help="Write JSON, one object a line.",
)
