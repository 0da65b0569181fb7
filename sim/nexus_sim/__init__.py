"""The mesh simulator: the code people run, in virtual time. Only drivers, clock, rng and the store's medium differ."""
