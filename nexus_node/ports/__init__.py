"""What the node asks of the world: drivers, a store, heavy lifting. Types only."""
