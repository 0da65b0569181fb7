"""Who hears whom, and how much weaker: path losses between nodes, measured or from where the nodes stand."""

import math
from collections.abc import Sequence

from nexus_sim.propagation import PathLoss, Shadowing


class Links:
    """Path losses by ordered pair of nodes; those above `max_loss_db` nobody can hear, and are not kept.

    Nodes are numbers. For a measured matrix call `set` for every pair (`loss_of_snr` turns a measured
    signal-to-noise ratio into a loss); for nodes with places use a `Plane`.
    """

    def __init__(self, max_loss_db: float) -> None:
        self.max_loss_db = max_loss_db
        self._losses: dict[int, dict[int, float]] = {}
        self._sorted: dict[int, Sequence[tuple[int, float]]] = {}

    def set(self, sender: int, receiver: int, loss_db: float) -> None:
        """Set the loss of one direction; infinity cuts it."""
        row = self._losses.setdefault(sender, {})
        if loss_db <= self.max_loss_db:
            row[receiver] = loss_db
        elif row.pop(receiver, None) is None:
            return
        self._sorted.pop(sender, None)

    def of(self, sender: int) -> Sequence[tuple[int, float]]:
        """Everybody who might hear a node, in order, each with the loss in dB."""
        found = self._sorted.get(sender)
        if found is None:
            found = self._sorted[sender] = sorted(self._losses.get(sender, {}).items())
        return found


class Plane:
    """Nodes at places in metres, whose links follow from a path-loss model and perhaps shadowing."""

    def __init__(self, links: Links, model: PathLoss, shadowing: Shadowing | None = None) -> None:
        self._links = links
        self._model = model
        self._shadowing = shadowing or Shadowing(0.0)
        self._reach_m = model.range_m(links.max_loss_db + self._shadowing.most_db)
        self._places: dict[int, tuple[float, float]] = {}

    def place(self, node: int, x: float, y: float) -> None:
        """Put a node somewhere, or move it there; its links to all others are set anew."""
        moved = node in self._places
        self._places[node] = x, y
        for other, (other_x, other_y) in self._places.items():
            if other == node:
                continue
            distance = math.hypot(x - other_x, y - other_y)
            if distance <= self._reach_m:
                loss = self._model.loss_db(distance) + self._shadowing.between(node, other)
            elif moved:
                loss = math.inf
            else:
                continue
            self._links.set(node, other, loss)
            self._links.set(other, node, loss)
