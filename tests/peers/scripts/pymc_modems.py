"""Two KissModemWrappers of pymc_core, each on a port: settings, questions, packets both ways.

pymc_modems.py PORT_A PORT_B SIZE...
"""

import json
import sys
import time

from pymc_core.hardware.kiss_modem_wrapper import KissModemWrapper

RADIO = {"frequency": 869_525_000, "bandwidth": 500_000, "spreading_factor": 7, "coding_rate": 5, "power": 14}


def payload(size):
    return (bytes.fromhex("c0dbdcdd") * (size // 4 + 1))[:size]


def main(ports, sizes):
    heard = [[], []]

    def listener(index):
        return lambda data, rssi, snr: heard[index].append((bytes(data), rssi, snr))

    modems = [
        KissModemWrapper(port, on_frame_received=listener(index), radio_config=dict(RADIO))
        for index, port in enumerate(ports)
    ]
    result = {"connected": [], "after_s": []}
    for modem in modems:
        started = time.monotonic()
        result["connected"].append(modem.connect())
        result["after_s"].append(time.monotonic() - started)
    first = modems[0]
    result |= {
        "radio": first.get_radio_config(),
        "power": first.get_tx_power(),
        "ping": first.ping(),
        "noise_floor": first.get_noise_floor(),
        "airtime": first.get_airtime(100),
        "busy": first.is_channel_busy(),
        "signal_report": first.get_signal_report(),
        "name": first.get_device_name(),
        "version": first.modem_version,
        "battery": first.get_battery(),
        "sha256": first.hash_data(b"abc").hex(),
    }
    result["packets"] = []
    for sender, receiver in ((0, 1), (1, 0)):
        for size in sizes:
            before = len(heard[receiver])
            sent = modems[sender].send_frame_and_wait(payload(size), timeout=10)
            time.sleep(0.2)
            found = heard[receiver][before:]
            result["packets"].append(
                [size, sent, [[data == payload(size), *signal] for data, *signal in found]]
            )
    result["stats"] = [modem.get_modem_stats() for modem in modems]
    for modem in modems:
        modem.disconnect()
    print(json.dumps(result))


main(sys.argv[1:3], [int(size) for size in sys.argv[3:]])
