"""Every bound, with its reason. Queues, tables and parsers take theirs from here."""

KIB = 1024
MIB = 1024 * KIB

# --- messages -----------------------------------------------------------------------------------
TEXT_MAX = 64 * KIB
"""Longest text in UTF-8 bytes; larger things are objects (N9)."""
MESSAGE_TTL_S = 30 * 24 * 3600
"""An undelivered message expires after 30 days (S2, N10)."""
FILE_PART_S = 2 * MESSAGE_TTL_S
"""What is here of a file that did not come goes after so long: its sender and relays have given up (N7)."""
CLOCK_STEP_S = 60.0
"""A wall clock that moves this much against the monotonic one was set."""

# --- objects ------------------------------------------------------------------------------------
CHUNK_SIZE = 4 * KIB
"""Objects up to one chunk are stored inline, longer ones as chunks (N7)."""
OBJECT_MAX = 1024 * MIB
"""Largest object (N7); its hash tree takes 8.5 MB."""
ATTACHMENT_MAX = 50_000_000
"""Largest file attached to a message (S6)."""
ATTACHMENTS_MAX = 16
"""Files attached to one message: their descriptions go inside it, some 100 bytes each."""
FETCH_WINDOW_MAX = 4 * MIB
"""Bytes of an object asked of one provider and not yet here: 30 ms of 1 Gbit/s."""
FETCHES_MAX = 64
"""Objects fetched at a time, at 32 bytes of hashes for each 4 KB; others wait for their next offer."""
PROVIDERS_MAX = 16
"""Nodes that one object is fetched from at a time."""
ASKERS_MAX = 1024
"""Questions for objects that are answered at a time; who asked longest ago asks again."""
ASKS_MAX = 256
"""Runs of units one neighbour may have asked for and not got, of one object."""

# --- mutable objects ----------------------------------------------------------------------------
LABEL_MAX = 32
"""Bytes of what an owner calls a mutable object: it is in every record."""
RECORD_NAMES_MAX = 1024
"""Mutable objects of others that are remembered, at most 3 KB each; the one longest without news goes."""
RECORD_HISTORY = 16
"""Versions of one mutable object whose records are kept: a fork of any of them is seen."""
RECORDS_PER_S, RECORDS_BURST = 10, 100
"""Records, forks and questions for records taken from one neighbour: each may cost two signature checks."""
RECORDS_WANTED = 64
"""Mutable objects looked for at a time."""
RECORDS_GIVEN = 1024
"""Contents that neighbours were told of and may now ask for; the longest told goes."""
FORK_BLOCK_S, FORK_KEPT_S = 24 * 3600, 7 * 24 * 3600
"""How long nothing is taken of an owner who forked, and how long the evidence is kept (N7)."""
FORKS_MAX, FORKS_PER_OWNER = 256, 4
"""Evidence kept in all and of one owner, some 400 bytes each; what was found longest ago goes."""
FORK_TOLD_PER_S, FORK_TOLD_BURST = 0.01, 4
"""Evidence told to one neighbour: 4 bytes a second, which a slow radio can bear."""
FORK_LISTENERS = 256
"""Neighbours remembered with the evidence they were told."""

# --- link ---------------------------------------------------------------------------------------
MTU_CONSTRAINED, MTU_STANDARD, MTU_BULK = 484, 1500, 4096
"""Transport classes (N2)."""
MTU_STREAM = 4 * CHUNK_SIZE + 256
"""Frames on connections: four chunks of an object and their heads, 3 ms of a link of 50 Mbit/s."""
MTU_MIN = 136
"""A frame must hold an announce (133 bytes on a shared medium), and the largest handshake message (123)."""
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
HEARD_MAX = 1024
"""Nodes on one shared medium whose HELLO was heard, about 200 bytes each; the longest silent goes."""
HANDSHAKE_FRAMES = 8
"""Handshake frames waiting to go on one carrier; the oldest goes, since the peer repeats what it asked."""
LINK_ITEMS = 256
"""Items of a link's own (answers to pings, rekeys, acknowledgements) waiting for a frame; likewise."""
REKEY_OVERLAP_S = 30.0
"""How long frames under the previous keys are still opened after a rekey."""

# --- strangers ----------------------------------------------------------------------------------
PENDING_CONNECTIONS = 256
"""Connections that have not finished a handshake; the oldest goes when one more comes."""
STRANGER_LINKS = 256
"""Links that others have opened who are no contacts; the longest silent or the newest goes."""
TCP_CONNECTIONS = 640
"""Connections one listener keeps in all: of the 1,024 files that a process commonly may open. When strangers
have all of theirs, proven and not, a fifth is left for contacts."""
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
"""Fragments of one packet; the smallest frames cut the largest packet into 600, and each costs memory."""
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

# --- routing ------------------------------------------------------------------------------------
DESTINATIONS_MAX = 4096
"""Destinations with paths, about 1 KB each; contacts first, and no neighbour may push out another's."""
PATHS_PER_DESTINATION = 4
"""Neighbours through which one destination is remembered."""
ANNOUNCES_PER_S, ANNOUNCES_BURST = 100, 1000
"""Announces taken from one neighbour: each costs a signature check of 50 us."""
PATH_REQUESTS_PER_S, PATH_REQUESTS_BURST = 10, 100
"""Requests for paths taken from one neighbour: each may go on to all the others."""
PATH_REQUESTS_SEEN = 4096
"""Requests remembered at most, so that none is passed on twice: the latest half of them always."""
PATHS_WANTED = 256
"""Destinations looked for at a time."""
REVERSE_PATHS = 16384
"""Messages on their way whose origin is remembered, about 200 bytes each, so that answers find back."""
TRACES, TRACES_PER_S = 16, 2
"""Traces of one's own remembered, and taken at once or a second from all neighbours."""
WANTED_MAX = 4096
"""Messages asked of relays that have not come yet."""
RECEIPTS_HEARD = 4096
"""Receipts of messages that are not here, which nothing here can verify; the oldest goes."""
ACQUAINTANCES_MAX = 1024
"""Nodes remembered as met: what one packet tells others, who wonder what to give this node to carry."""
TRACES_PASSED = 256
"""Traces of others whose answers find back."""
SENDERS_TIMED = 4096
"""Neighbours whose last message a relay knows the time of."""
PENDING_BATCH_BYTES = MIB
"""Messages a recipient is told of at a time; they are in memory until it has fetched them."""
TRANSIT_BYTES, TRANSIT_PAUSE_BYTES = 8 * MIB, MIB
"""Packets of others waiting for one link: refused beyond the first, upstream is asked to pause beyond the
second; a burst of 6,000 small packets fits."""

# --- custody ------------------------------------------------------------------------------------
CUSTODY_RECEIPTS = 65_536
"""Receipts of delivered messages kept, so that their other copies go: about 100 bytes on disk each."""
CUSTODY_SLIPS = 65_536
"""Receipts kept for absent senders, about 150 bytes on disk each."""
CUSTODY_GIVEN = 65_536
"""Hours of neighbours whose mail is counted for quotas: 2,700 neighbours around the clock."""

# --- reconciliation -----------------------------------------------------------------------------
RECONCILE_ITEMS = 65_536
"""Items of one side: more than the 50,000 messages a store is measured with; some 15 MB while it lasts."""
RECONCILE_QUESTIONS = 32_768
"""Questions of one reconciliation: enough for all items to differ in the smallest frames; an end to lies."""
SKETCH_CAPACITY = 48
"""Differences one sketch gives away: decoded in 0.1 s, about 1 s on a Pi Zero, and the cost is quadratic."""

# --- groups -------------------------------------------------------------------------------------
GROUP_MEMBERS_MAX = 128
"""Members of one group: about 100 (N11), and a sender has one byte in a message."""
CO_ADMINS_MAX = 3
"""At a time (N12)."""
GROUP_SUBJECTS_MAX = 32
"""Members one operation adds or removes: it stays near 1 KB."""
GROUP_OPERATIONS_MAX = 16_384
"""Operations of one group: a change a day for 44 years; about 4 MB on disk."""
GROUP_UNATTACHED_MAX = 256
"""Operations of one group that came before those they build on; the oldest goes, and is asked for again."""
GROUP_INVITATIONS_MAX = 64
"""Groups kept that nobody here has asked for or accepted."""
GROUP_EARLY_KEYS = 256
"""Keys kept that came before their operations; the oldest goes, and is asked for."""
GROUP_WAITING_MAX = 100
"""Messages of one group that wait for their key (M6)."""
GROUP_WAITING_S = MESSAGE_TTL_S
"""How long they wait: as long as relays keep what brings the key. M6 has 300 s, too little for a mesh."""
GROUP_KEPT_MAX = 256 * KIB
"""Bytes of a group's messages, as sealed, kept for members that were away; the oldest go."""
GROUP_KEPT_S = MESSAGE_TTL_S
"""How long they are kept."""
GROUP_AHEAD_MAX = 2048
"""Messages of one sender that may be missing before one that is read: each costs a hash and a kept key."""
GROUP_SECRET_S = MESSAGE_TTL_S
"""How long the secret of an epoch is kept for members that may lack it."""

# --- publish and subscribe ----------------------------------------------------------------------
SUBSCRIPTIONS_PER_NEIGHBOUR = 1024
"""Subscriptions of one neighbour, its own neighbours' among them, and of the node itself; 300 bytes each."""
PUBLICATIONS_MAX = 4096
"""Published objects known of, others' as well as own: each is in the store; the oldest of others goes."""
NOTICES_PER_NEIGHBOUR = 8192
"""Published objects that one neighbour is known to have; 100 bytes each."""
SUBSCRIBERS_REMEMBERED = 64
"""Neighbours without a link of which it is remembered what they have."""
PUBLISHED_BURST, PUBLISHED_PER_S = 64, 0.1
"""What is taken of one publisher: 64 at once, and one each 10 s."""
PUBLISHERS_TIMED = 4096
"""Publishers whose pace is remembered."""
PULLS_MAX = 1024
"""Published objects asked for and not yet here."""

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
"""Longest contact link read, in characters; ours have at most 389."""
RELAYS_MAX = 4
"""Relays one contact link names (N10): each makes it 54 characters longer, and its QR code larger."""
KEYFILE_MAX = 4 * KIB
"""Largest identity file read; ours have under 600 bytes."""
ARGON2_PASSES_MAX, ARGON2_MEMORY_MAX = 16, 256 * MIB
"""The most an identity file may ask for to try a passphrase: what a Pi with 512 MB survives."""
