"""`python -m nexus_node.cli` is `nexus`."""

from .main import main

main()
