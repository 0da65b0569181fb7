"""Bytes to values and back. Parsers of outside bytes are `parse_*_untrusted` and raise BadWire only."""
