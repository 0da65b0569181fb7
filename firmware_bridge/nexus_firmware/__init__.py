"""Sans-IO codecs of radio firmware, and what LoRa physics costs.

Here now: KISS framing (`kiss`), spoken by RNode and by MeshCore's modem firmware, and the exact
time on air of a LoRa packet (`airtime`).
"""
