"""Keys and what is done with them: identities, Noise handshakes, sealed envelopes, data at rest."""
