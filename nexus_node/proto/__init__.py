"""How to talk: sans-IO machines for one link. `now` is monotonic seconds; nothing here waits or sleeps."""
