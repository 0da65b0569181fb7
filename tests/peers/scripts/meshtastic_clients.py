"""Two stock clients of Meshtastic, each on a device: connect, data both ways, an acknowledgement.

meshtastic_clients.py SERIAL_PORT|HOST:PORT... (two) CHANNEL SIZE...
"""

import json
import logging
import os
import sys
import time

from meshtastic.protobuf import mesh_pb2
from meshtastic.serial_interface import SerialInterface
from meshtastic.tcp_interface import TCPInterface
from pubsub import pub

logging.basicConfig(level=logging.ERROR)
WAIT_S = 20


def connect(where):
    if ":" in where:
        host, port = where.rsplit(":", 1)
        return TCPInterface(host, portNumber=int(port))
    return SerialInterface(where)


def until(condition):
    end = time.monotonic() + WAIT_S
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def main(places, channel, sizes):
    heard, acks, lost = [], [], []

    def on_receive(packet, interface):
        decoded = packet.get("decoded", {})
        if decoded.get("portnum") == "PRIVATE_APP":
            heard.append((interface, decoded.get("payload", b""), packet["from"], packet.get("channel", 0)))

    pub.subscribe(on_receive, "meshtastic.receive")
    pub.subscribe(lambda interface: lost.append(1), "meshtastic.connection.lost")
    result = {"after_s": []}
    clients = []
    for place in places:
        started = time.monotonic()
        clients.append(connect(place))
        result["after_s"].append(time.monotonic() - started)
    first, second = clients
    result["me"] = [client.getMyNodeInfo()["num"] for client in clients]
    result["channels"] = [
        [one.settings.name for one in (client.localNode.channels or []) if one.role] for client in clients
    ]
    result["firmware"] = [getattr(client.metadata, "firmware_version", None) for client in clients]
    # A device told of the other before its client was there has told nobody: they announce themselves again,
    # one after the other, so that the two do not meet in the air.
    for client in clients:
        announce = mesh_pb2.ToRadio()
        announce.heartbeat.nonce = 1
        client._sendToRadio(announce)
        time.sleep(1)
    result["known"] = until(lambda: all(len(client.nodesByNum) >= 2 for client in clients))
    result["exact"] = []
    for sender, receiver in ((0, 1), (1, 0)):
        for size in sizes:
            payload = bytes(range(256))[:size]
            before = len(heard)
            clients[sender].sendData(payload, portNum=256, channelIndex=channel)
            until(lambda before=before: len(heard) > before)
            found = [
                [data == payload, who]
                for got_by, data, who, _ in heard[before:]
                if got_by is clients[receiver]
            ]
            result["exact"].append([size, found])

    def onAckNak(packet):  # the name is what the client looks at before it calls it for a plain ack
        acks.append((packet["from"], packet["decoded"]["routing"]["errorReason"]))

    def ask(size, destination):
        before = len(acks)
        first.sendData(
            bytes(size), destination, portNum=256, wantAck=True, onResponse=onAckNak, channelIndex=channel
        )
        until(lambda: len(acks) > before)
        return [[who, error] for who, error in acks[before:]]

    target = second.myInfo.my_node_num
    result["ack"] = ask(50, target)
    result["too_large"] = ask(233, target)
    result["unknown_key"] = ask(5, 0x01020304)
    for client in clients:
        client.close()
    time.sleep(0.5)
    result["lost"] = len(lost)
    print(json.dumps(result))
    sys.stdout.flush()
    os._exit(0)


main(sys.argv[1:3], int(sys.argv[3]), [int(size) for size in sys.argv[4:]])
