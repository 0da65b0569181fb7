"""What Meshtastic firmware answers to `want_config` (`PhoneAPI.cpp` of meshtastic/firmware 7754068)."""

from collections.abc import Iterator
from typing import Any

from nexus_firmware.emulate.mesh_node import MeshNode
from nexus_firmware.meshtastic_pb import protobufs

CONFIG_ONLY, NODES_ONLY = 69420, 69421
VERSION = "2.8.0.emulated"
CONFIGS = ("device", "position", "power", "network", "display", "lora", "bluetooth", "security", "sessionkey")
MODULES = (
    "mqtt",
    "serial",
    "external_notification",
    "store_forward",
    "range_test",
    "telemetry",
    "canned_message",
    "audio",
    "remote_hardware",
    "neighbor_info",
    "ambient_lighting",
    "detection_sensor",
    "paxcounter",
)


def answer(node: MeshNode, nonce: int, *, minimal: bool) -> Iterator[dict[str, Any]]:
    """The items, in the firmware's order; `minimal` leaves out what a client can do without."""
    pb = protobufs()
    settings = node.settings
    number = settings.number
    yield {"my_info": pb.mesh.MyNodeInfo(my_node_num=number, min_app_version=30200, pio_env="native")}
    if not minimal:
        yield {"deviceuiConfig": {}}
    if nonce != CONFIG_ONLY:
        yield {"node_info": pb.mesh.NodeInfo(num=number, user=node.user(), is_favorite=True)}
    if not minimal:
        if nonce != NODES_ONLY:
            yield from _configuration(node)
        if nonce != CONFIG_ONLY:
            for other, user in list(node.nodes.items()):
                yield {"node_info": pb.mesh.NodeInfo(num=other, user=user, hops_away=0)}
        if nonce not in (CONFIG_ONLY, NODES_ONLY):
            yield {"fileInfo": pb.mesh.FileInfo(file_name="/prefs/config.proto", size_bytes=200)}
    yield {"config_complete_id": nonce}


def _configuration(node: MeshNode) -> Iterator[dict[str, Any]]:
    pb = protobufs()
    settings = node.settings
    yield {
        "metadata": pb.mesh.DeviceMetadata(
            firmware_version=VERSION, role=settings.role, hw_model="PORTDUINO", hasPKC=settings.pki
        )
    }
    for index in range(8):
        one = pb.channel.Channel(index=index)
        if index < len(settings.channels):
            one.role = "SECONDARY" if index else "PRIMARY"
            one.settings.name = settings.channels[index].name
            one.settings.psk = settings.channels[index].psk
        yield {"channel": one}
    for name in CONFIGS:
        config = pb.config.Config()
        getattr(config, name).SetInParent()
        if name == "lora":
            config.lora.region = settings.region
            config.lora.modem_preset = settings.preset
            config.lora.use_preset = config.lora.tx_enabled = True
            config.lora.hop_limit = settings.hop_limit
        elif name == "device":
            config.device.role = settings.role
        elif name == "security":
            config.security.public_key = node.public_key
        yield {"config": config}
    for name in MODULES:
        module = pb.module_config.ModuleConfig()
        getattr(module, name).SetInParent()
        yield {"moduleConfig": module}
