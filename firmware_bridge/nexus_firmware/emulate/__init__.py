"""Emulators of radio firmware, to try and test nodes over "LoRa" without hardware.

Each firmware is a synchronous machine (`firmware.Firmware`): bytes from the host, packets off the air and
the time go in; bytes and transmissions come out. `air.Ether` joins them. The machines have codecs of their
own, written apart from those of `nexus_firmware`, so that a mistake in one does not hide behind the same
mistake in the other. `board` and `serve` put trio, ptys and TCP around them, `python -m
nexus_firmware.emulate` a command line (docs/firmware.md).
"""
