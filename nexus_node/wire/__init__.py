"""Bytes to values and back. Every parser of outside bytes is a `parse_*_untrusted` and raises BadWire only."""
