"""The stock client of Meshtastic as a person: writes to a node, tells what it hears.

meshtastic_user.py HOST:PORT GATEWAY_NUMBER TEXT... ; ends when it has heard as many texts as it has written.
"""

import json
import os
import sys
import time

from meshtastic.tcp_interface import TCPInterface
from pubsub import pub

heard, acks = [], []


def on_text(packet, interface):
    heard.append([packet["from"], packet["to"], packet["decoded"]["text"]])


def onAckNak(packet):  # the name is what the client looks at before it calls it for a plain ack
    acks.append([packet["from"], packet["decoded"]["routing"]["errorReason"]])


pub.subscribe(on_text, "meshtastic.receive.text")
host, port = sys.argv[1].rsplit(":", 1)
client = TCPInterface(host, portNumber=int(port))
gateway, texts = int(sys.argv[2]), sys.argv[3:]
end = time.monotonic() + 120
while gateway not in client.nodesByNum and time.monotonic() < end:
    time.sleep(0.05)
for count, text in enumerate(texts, 1):
    while time.monotonic() < end:
        before = len(acks)
        if text.startswith("^"):
            client.sendText(text[1:])
            break
        client.sendText(text, gateway, wantAck=True, onResponse=onAckNak)
        while len(acks) == before and time.monotonic() < end:
            time.sleep(0.05)
        if acks[-1][1] == "NONE":
            break
        time.sleep(2.2)  # that device does not know this one's key yet: it will be told
    while len(heard) < count and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(2.2)
print(json.dumps({"heard": heard, "acks": acks}))
sys.stdout.flush()
os._exit(0)
