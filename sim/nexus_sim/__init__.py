"""The mesh simulator: the code people run, in virtual time; only drivers, clock, rng and store differ."""
