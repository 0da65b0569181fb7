"""Two interfaces of RNS, each on a port; sends payloads both ways, prints what each heard.

rns_interfaces.py RNodeInterface|KISSInterface PORT_A PORT_B SIZE...
"""

import json
import os
import sys
import time

import RNS
from RNS.Interfaces.KISSInterface import KISSInterface
from RNS.Interfaces.RNodeInterface import RNodeInterface

KINDS = {"RNodeInterface": RNodeInterface, "KISSInterface": KISSInterface}
RADIO = {
    "frequency": "867200000",
    "bandwidth": "500000",
    "txpower": "7",
    "spreadingfactor": "7",
    "codingrate": "5",
}
MODEM = {"speed": "115200", "databits": "8", "parity": "none", "stopbits": "1", "flow_control": "false"}
PAUSE_S = 6.0


class Owner:
    """What an interface hands its packets to."""

    def __init__(self):
        self.heard = []

    def inbound(self, data, interface):
        self.heard.append(
            (bytes(data), getattr(interface, "r_stat_rssi", None), getattr(interface, "r_stat_snr", None))
        )


def payload(size):
    return (bytes.fromhex("c0dbdcdd") * (size // 4 + 1))[:size]


def main(kind, ports, sizes):
    os.makedirs("rns", exist_ok=True)
    with open("rns/config", "w") as config:
        config.write("[reticulum]\nenable_transport = No\nshare_instance = No\n\n[interfaces]\n")
    RNS.Reticulum(configdir="rns", loglevel=RNS.LOG_ERROR)
    owners = [Owner(), Owner()]
    settings = RADIO if kind == "RNodeInterface" else MODEM
    interfaces, after = [], []
    for owner, name, port in zip(owners, "ab", ports, strict=True):
        started = time.monotonic()
        one = KINDS[kind](owner, {"name": name, "port": port, **settings})
        while not one.online and time.monotonic() < started + 15:
            time.sleep(0.02)
        interfaces.append(one)
        after.append(time.monotonic() - started)
    exact = []
    for sender, receiver in ((0, 1), (1, 0)):
        for size in sizes:
            before = len(owners[receiver].heard)
            interfaces[sender].process_outgoing(payload(size))
            until = time.monotonic() + PAUSE_S
            while len(owners[receiver].heard) == before and time.monotonic() < until:
                time.sleep(0.02)
            found = owners[receiver].heard[before:]
            exact.append([size, [data == payload(size) for data, _, _ in found]])
    last = owners[1].heard[-1]
    print(
        json.dumps(
            {
                "online": [one.online for one in interfaces],
                "after_s": after,
                "exact": exact,
                "signal": last[1:],
            }
        )
    )
    sys.stdout.flush()
    os._exit(0)


main(sys.argv[1], sys.argv[2:4], [int(size) for size in sys.argv[4:]])
