"""One peer on a port that sends back whatever it hears, until it is ended; so many packets at a time.

echo.py rnode|kiss|pymc|meshtastic|meshcore PORT [BATCH]
"""

import os
import queue
import sys
import time

listeners = []
heard: "queue.Queue[bytes]" = queue.Queue()


class Owner:
    """What an interface of RNS hands its packets to."""

    def inbound(self, data, interface):
        heard.put(bytes(data))


def rns(kind, port):
    import RNS
    from RNS.Interfaces.KISSInterface import KISSInterface
    from RNS.Interfaces.RNodeInterface import RNodeInterface

    os.makedirs("rns", exist_ok=True)
    with open("rns/config", "w") as config:
        config.write("[reticulum]\nenable_transport = No\nshare_instance = No\n\n[interfaces]\n")
    RNS.Reticulum(configdir="rns", loglevel=RNS.LOG_ERROR)
    settings = {"name": "echo", "port": port}
    if kind == "rnode":
        settings |= {"frequency": "867200000", "bandwidth": "500000", "txpower": "7"}
        one = RNodeInterface(Owner(), settings | {"spreadingfactor": "5", "codingrate": "5"})
    else:
        settings |= {"speed": "115200", "databits": "8", "parity": "none", "stopbits": "1"}
        one = KISSInterface(Owner(), settings | {"flow_control": "false"})
    while not one.online:
        time.sleep(0.02)
    return one.process_outgoing


def pymc(port):
    from pymc_core.hardware.kiss_modem_wrapper import KissModemWrapper

    radio = {
        "frequency": 867_200_000,
        "bandwidth": 500_000,
        "spreading_factor": 7,
        "coding_rate": 5,
        "power": 7,
    }
    modem = KissModemWrapper(
        port, on_frame_received=lambda data, rssi, snr: heard.put(bytes(data)), radio_config=radio
    )
    modem.connect()
    return modem.send_frame


def meshtastic(port):
    from meshtastic.serial_interface import SerialInterface
    from pubsub import pub

    def on_receive(packet, interface):
        decoded = packet.get("decoded", {})
        if decoded.get("portnum") == "PRIVATE_APP":
            heard.put(decoded.get("payload", b""))

    listeners.append(on_receive)  # pubsub holds it weakly
    pub.subscribe(on_receive, "meshtastic.receive")
    client = SerialInterface(port)
    return lambda data: client.sendData(data, portNum=256, channelIndex=1)


async def meshcore(where):
    """A datagram that was seen is dropped, so the first byte, a number, is changed."""
    import asyncio

    from meshcore import EventType, MeshCore

    host, port = where.rsplit(":", 1)
    client = await MeshCore.create_tcp(host, int(port))

    async def on_data(event):
        data = bytearray.fromhex(event.payload["payload"])
        data[0] ^= 0x80
        await client.commands.send_channel_data(1, event.payload["data_type"], bytes(data))

    client.subscribe(EventType.CHANNEL_DATA_RECV, on_data)
    await client.start_auto_message_fetching()
    print("up", flush=True)
    await asyncio.Event().wait()


def main(kind, port, batch="1"):
    if kind == "meshcore":
        import asyncio

        asyncio.run(meshcore(port))
    makers = {"pymc": pymc, "meshtastic": meshtastic}
    send = makers[kind](port) if kind in makers else rns(kind, port)
    print("up", flush=True)
    while True:
        for packet in [heard.get() for _ in range(int(batch))]:
            send(packet)


main(*sys.argv[1:])
