"""`python -m nexus_firmware.emulate KIND --pty PATH --air NAME`: an emulated radio for programs to use."""

from nexus_firmware.emulate.cli import main

main()
