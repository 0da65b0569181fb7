"""trio: tasks, clocks, sockets and signals around the engine."""
