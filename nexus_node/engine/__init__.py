"""What to do: synchronous and deterministic. Time is an argument, randomness an Rng, the store a port."""
