"""Objects people put and get: immutable, addressed by content (N7)."""

from collections.abc import Callable, Iterator, Sequence

from nexus_node.base.errors import InputError
from nexus_node.base.ids import ObjectId
from nexus_node.base.limits import MIB, OBJECT_MAX
from nexus_node.engine.putting import Page, Putting
from nexus_node.ports.store import Store, StoredObject
from nexus_node.wire.dataobject import KIND_BLOB, KIND_VERSION, ObjectHeader, describe


class Objects:
    """The node's own objects."""

    def __init__(self, store: Store, arm_expiry: Callable[[int], None]) -> None:
        """`arm_expiry` is told when an object's time is over, in milliseconds since 1970."""
        self._store = store
        self._arm_expiry = arm_expiry

    def put(
        self, content: bytes, *, now_ms: int, min_bandwidth: int = 0, ttl_s: int | None = None
    ) -> StoredObject:
        """Store a blob; the same content is the same object. Raises InputError and StoreFull."""
        if len(content) > OBJECT_MAX:
            raise InputError(f"the file is larger than the {OBJECT_MAX // MIB} MiB an object takes")
        header, chunks = describe(KIND_BLOB, content)
        total = len(chunks)
        expires_ms = now_ms + ttl_s * 1000 if ttl_s is not None else None
        stored = StoredObject(
            header.id, header.kind, header.size, header.root, now_ms, expires_ms, min_bandwidth, total, total
        )
        self._store.put_object(stored, chunks)
        stored = self._store.get_object(header.id) or stored
        if stored.expires_ms is not None:
            self._arm_expiry(stored.expires_ms)
        return stored

    def begin(
        self,
        header: ObjectHeader,
        pages: Sequence[Page],
        *,
        now_ms: int,
        min_bandwidth: int = 0,
        ttl_s: int | None = None,
    ) -> Putting:
        """The same a part at a time, for content too large to have at once; `pages` are its whole tree."""
        return Putting(
            self._store,
            self._arm_expiry,
            header,
            pages,
            now_ms=now_ms,
            min_bandwidth=min_bandwidth,
            ttl_s=ttl_s,
        )

    def get(self, object_id: ObjectId) -> StoredObject:
        """Raises InputError when it is not here."""
        stored = self._store.get_object(object_id)
        if stored is None:
            raise InputError(f"there is no object {object_id.hex()} here; see: nexus objects")
        return stored

    def remove(self, object_id: ObjectId) -> StoredObject:
        """Let go of what the owner has put, or of a copy of what others have. Raises InputError for what is
        not here, and for what belongs to messages or was published."""
        stored = self.get(object_id)
        if stored.kind not in (KIND_BLOB, KIND_VERSION):
            raise InputError(
                "that object belongs to a message, or was published: it goes when that is over; "
                "a file on its way can be stopped with: nexus cancel, or nexus decline"
            )
        self._store.delete_object(object_id)
        return stored

    def read(self, object_id: ObjectId) -> Iterator[bytes]:
        """Yield the content chunk by chunk."""
        return self._store.read_object(object_id)

    def all(self) -> Iterator[StoredObject]:
        return self._store.objects()
