"""The runtime's side of the bridge of texts: what the driver of a bridging radio gets."""

from collections.abc import Iterator
from contextlib import contextmanager

from nexus_node.ports.driver import ForeignText, TextFate, TextPart
from nexus_node.runtime.pump import Bell, Pump


class NodeTexts:
    """A `TextPort` for one radio, from the opening of its port to its loss."""

    def __init__(self, pump: Pump, label: str) -> None:
        self._pump = pump
        self._label = label
        self._bell = Bell()
        self._untold: set[int] = set()
        """Packets given to the radio that it has said nothing of."""

    @contextmanager
    def open(self) -> Iterator["NodeTexts"]:
        bridge = self._pump.core.bridge
        bridge.radios.append(self._bell.ring)
        try:
            yield self
        finally:
            bridge.radios.remove(self._bell.ring)
            for token in self._untold:
                bridge.back(token)
            self._pump.after()

    def next_text(self) -> TextPart | None:
        core = self._pump.core
        part = core.bridge.next_part(self._pump.now())
        if part is not None:
            core.commit()
        self._pump.after()
        return part

    async def wait(self) -> None:
        await self._bell.wait()

    def took(self, part: TextPart) -> None:
        self._untold.add(part.token)
        self._pump.core.bridge.took(part, self._pump.now())
        self._pump.after()

    def fate(self, token: int, fate: TextFate, words: str = "") -> None:
        self._untold.discard(token)
        self._pump.core.bridge.fate(token, fate, words or self._label, self._pump.now())
        self._pump.after()

    def deliver(self, text: ForeignText) -> None:
        self._pump.core.bridge.deliver(text, self._pump.now())
        self._pump.after()
