"""The owner's settings: `config.toml` and the `--carrier` option."""

from .load import load_config, parse_carrier_option
from .model import (
    CarrierConfig,
    LogConfig,
    MessagesConfig,
    NodeConfig,
    RelayConfig,
    StoreConfig,
    default_name,
)
from .template import write_template

__all__ = [
    "CarrierConfig",
    "LogConfig",
    "MessagesConfig",
    "NodeConfig",
    "RelayConfig",
    "StoreConfig",
    "default_name",
    "load_config",
    "parse_carrier_option",
    "write_template",
]
