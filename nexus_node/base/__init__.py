"""Ids, units, limits, errors, and what clock and randomness look like: the ground floor."""
