"""The commented `config.toml` that `init` writes."""

import json

TEMPLATE = """\
# Nexus Node. Every key is shown; those commented out stand at their defaults.
# A changed file takes effect when the node is started again.

# What your contact link suggests to others as your name.
name = {name}

# Relays that keep your mail while you are away, by their contact links, the one you prefer first; at most 4.
# They become part of your contact link: pass it on anew after a change.
# relays = []

# Which of several paths to somebody is best: cheapest | fastest | reliable | balanced | largest-mtu
# path_policy = "balanced"

[store]
# Space for messages and objects, in megabytes (10^6 bytes). A full store refuses new ones and says so.
# quota_mb = 512

[relay]
# Keeping messages for others while they are away. Nobody can read them here.
# enabled = false
# serve = "contacts"            # for messages from or to: contacts | trusted | anyone
# memory_only = false           # true: never write others' messages to disk; a restart loses them
# ttl_days = 30                 # how long they are kept, at most 30 days
# quota_mb = 256                # how much of them, in megabytes
# How many are taken from one neighbour you have not set to trusted: one in so many seconds, so many a day.
# stranger_interval_s = 10
# stranger_per_day = 20
# trusted_per_day = 200         # from one you trust; from one you verified any number

[messages]
# Tell senders when you have read their message (that it arrived they always learn).
# read_receipts = false

[log]
# debug | info | warning | error, on standard error. Texts, names and keys are never logged.
# level = "info"

# Carriers: the media and connections this node has. Remove the leading "# " of one to use it, copy it for
# more. docs/drivers.md has every key, docs/radio.md those of radios. Each also takes:
#   label = "roof"              what `nexus status` calls it
#   bps = 1200                  bits per second; the node then paces itself to it
#   mtu = 484                   largest frame in bytes
#   duty_cycle = 0.01           largest share of time spent sending

# [[carrier]]
# driver = "tcp"
# listen = "0.0.0.0:4001"       # wait for others here ...
# connect = "192.0.2.7:4001"    # ... or, in another [[carrier]], go to them

# [[carrier]]
# driver = "udp"
# bind = "0.0.0.0:5001"
# peers = ["192.0.2.7:5001"]    # who to talk to ...
# lan = true                    # ... and whether to look for nodes on the local network

# [[carrier]]
# driver = "rnode"
# port = "/dev/ttyUSB0"         # or "tcp://192.0.2.7"
# frequency = 869525000         # Hz
# bandwidth = 125000            # Hz
# spreading_factor = 8
# coding_rate = 5               # 5 to 8 for 4/5 to 4/8
# tx_power = 14                 # dBm
# region = "EU868"

# [[carrier]]
# driver = "meshtastic"
# port = "/dev/ttyACM0"         # or host = "127.0.0.1:4403"
# channel = 0                   # index or name
# portnum = 256
# bridge = false                # true: texts to and from people who have no node (docs/bridge.md)

# [[carrier]]
# driver = "meshcore_kiss"
# port = "/dev/ttyUSB0"
# frequency = 869525000
# region = "EU868"

# [[carrier]]
# driver = "uart_lora"
# port = "/dev/serial0"
# dialect = "e22"               # e22 | rylr998 | rak3172 | rn2483
# frequency = 868125000
# region = "EU868"
"""


def write_template(name: str) -> str:
    """The text of a new `config.toml` for a node called `name`."""
    # A printable JSON string without escapes beyond \\" and \\\\ is a TOML basic string as well.
    return TEMPLATE.format(name=json.dumps(name, ensure_ascii=False))
