"""`nexus-sim fast`: a scenario changed as asked, played by the model, and by real nodes beside it."""

import time
from dataclasses import replace
from typing import Any

from nexus_node.base.errors import ConfigError
from nexus_sim.fast.beside import real
from nexus_sim.fast.closed import closed as formulas
from nexus_sim.fast.larger import backbone as joined
from nexus_sim.fast.larger import larger
from nexus_sim.fast.model import Model
from nexus_sim.scenario import Scenario

_NEIGHBOURS = 8.0


def play(
    scenario: Scenario,
    seed: int | None,
    *,
    nodes: int | None = None,
    duration: float | None = None,
    per_hour: float | None = None,
    backbone: int | None = None,
    met: bool = False,
    closed: bool = False,
    neighbours: float | None = None,
    island: int | None = None,
    beside: bool = False,
    curves: bool = True,
) -> dict[str, Any]:
    """The figures; with `closed` those of formulas alone, for `neighbours` in reach and `island` nodes that
    hang together on the air; with `beside` each as what the model and what the real nodes have.
    Raises ConfigError."""
    chosen = scenario.seed if seed is None else seed
    if closed:
        if met or beside or not (duration is per_hour is backbone is None):
            raise ConfigError(
                "--closed is formulas alone: it goes with --nodes, --neighbours and --island only"
            )
        count = nodes or sum(rule.count for rule in scenario.places) + len(scenario.nodes)
        return formulas(scenario, count, _NEIGHBOURS if neighbours is None else neighbours, island or 0)
    if neighbours is not None or island is not None:
        raise ConfigError("--neighbours and --island are for --closed: the model counts them; add --closed")
    if nodes is not None:
        scenario = larger(scenario, nodes)
    if duration is not None:
        settle_s = min(scenario.settle_s, duration / 4)
        scenario = replace(scenario, duration_s=duration, settle_s=settle_s)
    if per_hour is not None:
        texts = tuple(replace(one, per_hour=per_hour) for one in scenario.texts)
        scenario = replace(scenario, texts=texts)
    if backbone is not None:
        scenario = joined(scenario, backbone, chosen)
    model, model_s = _timed(lambda: Model(scenario, chosen, met=met).run())
    if not curves:
        del model["curve"]
    if not beside:
        return model
    nodes_say, nodes_s = _timed(lambda: real(scenario, chosen))
    both = {name: {"fast": one, "real": nodes_say.get(name)} for name, one in model.items()}
    return {**both, "took_s": {"fast": model_s, "real": nodes_s}, "breaches": nodes_say["breaches"]}


def _timed(call: Any) -> tuple[dict[str, Any], float]:
    begin = time.perf_counter()
    return call(), round(time.perf_counter() - begin, 3)
