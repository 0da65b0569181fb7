"""Sans-IO codecs of radio firmware, what LoRa costs in time, and emulators of that firmware (`emulate`)."""
