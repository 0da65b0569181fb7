"""Finds drivers by name: ours in their modules, third parties' through entry points."""

from importlib import import_module

from nexus_node.base.errors import ConfigError
from nexus_node.config.model import CarrierConfig
from nexus_node.ports.driver import Driver

GROUP = "nexus_node.drivers"
_OURS = "nexus_drivers"


def make_driver(config: CarrierConfig) -> Driver:
    """The driver for one `[[carrier]]` table. Raises ConfigError that names the driver or the key."""
    try:
        kind = _our_driver(config.driver) or _installed_driver(config.driver)
    except ImportError as error:
        raise ConfigError(f"the driver {config.driver!r} cannot be loaded: {error}") from error
    driver: Driver = kind.from_config(config.table)
    return driver


def _our_driver(name: str) -> type[Driver] | None:
    """A driver stands in the module of its name; asking for entry points costs 1.6 MB, not for these."""
    try:
        module = import_module(f"{_OURS}.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"{_OURS}.{name}":
            raise
        return None
    kinds = (kind for kind in vars(module).values() if isinstance(kind, type))
    return next((kind for kind in kinds if getattr(kind, "scheme", None) == name), None)


def _installed_driver(name: str) -> type[Driver]:
    entry_points = import_module("importlib.metadata").entry_points
    found = entry_points(group=GROUP, name=name)
    if not found:
        known = ", ".join(sorted(entry_points(group=GROUP).names))
        raise ConfigError(f"there is no driver {name!r}; installed are: {known}")
    kind: type[Driver] = next(iter(found)).load()
    return kind
