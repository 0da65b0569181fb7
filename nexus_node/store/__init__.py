"""The store port in SQLite: on disk for a node, in memory for the simulator (docs/adr/0002-store.md)."""
