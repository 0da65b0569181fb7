"""Every bound, with its reason. Queues, tables and parsers take theirs from here."""

KIB = 1024
MIB = 1024 * KIB

# --- messages -----------------------------------------------------------------------------------
TEXT_MAX = 64 * KIB
"""Longest text in UTF-8 bytes; larger things are objects (N9)."""
MESSAGE_TTL_S = 30 * 24 * 3600
"""An undelivered message expires after 30 days (S2, N10)."""
CLOCK_STEP_S = 60.0
"""A wall clock that moves this much against the monotonic one was set."""

# --- objects ------------------------------------------------------------------------------------
CHUNK_SIZE = 4 * KIB
"""Objects up to one chunk are stored inline, longer ones as chunks (N7)."""
OBJECT_MAX = 64 * MIB
"""Largest object `put` takes: 50 MB attachments with room to spare (S6)."""

# --- link ---------------------------------------------------------------------------------------
MTU_CONSTRAINED, MTU_STANDARD, MTU_BULK = 484, 1500, 4096
"""Transport classes (N2)."""
MTU_MIN = 128
"""A frame must hold the largest handshake message (119 bytes)."""
MTU_MAX = 65535
"""Stream framing has a 16-bit length."""
REPLAY_WINDOW = 1024
"""Frames that may arrive out of order; datagram paths reorder by far less."""
REKEY_AFTER_S = 3600.0
REKEY_MIN_BYTES = 1_000_000
REKEY_CAPACITY_S = 60.0
"""New keys after an hour, or after max(1 MB, 60 s of capacity), whichever is first (N3)."""
HANDSHAKE_TIMEOUT_S = 15.0
"""A handshake that has not ended by then, on a link that is not slow, is given up."""
LINKS_PER_CARRIER = 64
"""Neighbours one shared medium may keep links with."""
HANDSHAKE_FRAMES = 8
"""Handshake frames waiting to go on one carrier; the oldest goes, since the peer repeats what it asked."""
LINK_ITEMS = 256
"""Items of a link's own (answers to pings, rekeys, acknowledgements) waiting for a frame; likewise."""
REKEY_OVERLAP_S = 30.0
"""How long frames under the previous keys are still opened after a rekey."""

# --- strangers ----------------------------------------------------------------------------------
PENDING_CONNECTIONS = 256
"""Connections that have not finished a handshake; the oldest goes when one more comes."""
TCP_CONNECTIONS = 512
"""Connections one listener keeps in all: half of the 1,024 files a process commonly may open."""
COOKIE_ROTATE_S = 60.0
"""Life of a cookie secret; a cookie is good for one to two of these."""
STRANGER_CARRIERS = 256
"""Datagram sources attached without being configured."""
CORRESPONDENTS_MAX = 1024
"""Nodes remembered that are not contacts (their keys open short envelopes)."""
SHARED_SECRETS = 4 * CORRESPONDENTS_MAX
"""Diffie-Hellman results kept, about 200 bytes each: all strangers and thrice as many contacts."""

# --- transfer -----------------------------------------------------------------------------------
PACKET_MAX = TEXT_MAX + KIB
"""Largest packet a link reassembles from fragments: a text and its envelope."""
FRAGMENTS_MAX = 2048
"""Fragments of one packet; the smallest frames cut the largest packet into 647, and each costs memory."""
TRANSFERS_OUT, TRANSFERS_IN = 8, 16
"""Packets sent in fragments at a time; partial ones kept per link (1 MB), the oldest going first."""
REASSEMBLY_BYTES, FRAGMENT_COST = 16 * MIB, 150
"""Partial packets of all links together, counting what Python keeps beside each fragment's bytes."""
TRANSFERS_DONE = 64
"""Completed transfers remembered per link, to answer repeats: a quarter of a sender's numbers."""
WINDOW_BYTES_MIN, WINDOW_BYTES_START, WINDOW_BYTES_MAX = 4 * KIB, 32 * KIB, 256 * KIB
"""Unacknowledged bytes on one link: as small as one radio's queue, as large as a socket buffer."""
IN_FLIGHT_MESSAGES = 256
"""Messages on one link awaiting receipts (a window of 64 meets the throughput bar, 256 exceeds it)."""
RECEIPTS_WAITING = 4096
"""Receipts waiting for one neighbour; the oldest goes, since its sender repeats what stays unanswered."""
RECEIPTS_PER_PACKET = 64
"""Receipts one packet may carry."""

# --- control ------------------------------------------------------------------------------------
CONTROL_LINE_MAX = MIB
"""Longest request line; a 64 KB text in JSON escapes to at most 384 KB."""
CONTROL_CLIENTS = 64
CONTROL_REQUESTS = 256
"""Requests under way on one connection; each waiting one is a task of some 10 KB."""
EVENTS_BUFFERED = 4096
"""Events a slow follower may fall behind before it is cut off, with words."""
EVENTS_RECENT = 256
"""Past events kept in memory for `nexus events`."""

# --- disk ---------------------------------------------------------------------------------------
DISK_RESERVE = 8 * MIB
"""Free space kept, so that a receipt can always still be written."""

# --- identity -----------------------------------------------------------------------------------
NAME_MAX = 64
"""Longest suggested name in UTF-8 bytes; with it a contact link still makes a small QR code."""
URI_MAX = 1024
"""Longest contact link read, in characters; ours have at most 171."""
KEYFILE_MAX = 4 * KIB
"""Largest identity file read; ours have under 600 bytes."""
ARGON2_PASSES_MAX, ARGON2_MEMORY_MAX = 16, 256 * MIB
"""The most an identity file may ask for to try a passphrase: what a Pi with 512 MB survives."""
