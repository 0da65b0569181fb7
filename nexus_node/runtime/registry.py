"""Finds drivers by name: ours and third parties', through the same entry points."""

from importlib.metadata import entry_points

from nexus_node.base.errors import ConfigError
from nexus_node.config.model import CarrierConfig
from nexus_node.ports.driver import Driver

GROUP = "nexus_node.drivers"


def make_driver(config: CarrierConfig) -> Driver:
    """The driver for one `[[carrier]]` table. Raises ConfigError that names the driver or the key."""
    found = entry_points(group=GROUP, name=config.driver)
    if not found:
        known = ", ".join(sorted(entry_points(group=GROUP).names))
        raise ConfigError(f"there is no driver {config.driver!r}; installed are: {known}")
    try:
        kind = next(iter(found)).load()
    except ImportError as error:
        raise ConfigError(f"the driver {config.driver!r} cannot be loaded: {error}") from error
    driver: Driver = kind.from_config(config.table)
    return driver
