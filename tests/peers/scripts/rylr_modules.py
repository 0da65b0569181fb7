"""Two modules by the rylr package, each on a port: settings, and a text each way.

rylr_modules.py PORT_A PORT_B
"""

import json
import sys
import time

from rylr import RYLR


def until_line(module, start, seconds=5):
    end = time.monotonic() + seconds
    seen = []
    while time.monotonic() < end:
        line = module.recv()
        if line != "null":
            seen.append(line.strip())
            if line.startswith(start):
                return seen
        time.sleep(0.01)
    return seen


def main(ports):
    modules = [
        RYLR(port, addr=str(number), network="10", band="868100000", wait_time=0.1)
        for number, port in enumerate(ports, 1)
    ]
    for module in modules:
        until_line(module, "never", 0.3)
    first, second = modules
    result = {"address": [module.address.strip() for module in modules], "network": first.network.strip()}
    result["said"] = first.send("hello", 2)
    result["sent"] = until_line(first, "+OK")
    result["heard"] = until_line(second, "+RCV")
    second.send("a longer answer, with a comma", 1)
    result["answer"] = until_line(first, "+RCV")
    for module in modules:
        module.close()
    print(json.dumps(result))


main(sys.argv[1:3])
