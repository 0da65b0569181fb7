"""An object that its owner puts, a part at a time: a large one takes its time, and little memory (N7)."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from nexus_node.base.errors import InputError, StoreFull
from nexus_node.base.limits import CHUNK_SIZE
from nexus_node.crypto.merkle import FAN_OUT, HASH_SIZE, leaf_hash
from nexus_node.ports.store import Store, StoredObject
from nexus_node.wire.dataobject import ObjectHeader

_PAGES = 64
"""Named at a time: some 5 ms."""
_DELETED = "the object was deleted while it was put; put it again"
_UNFINISHED_MS = 24 * 3600 * 1000
"""What is left of one that was never finished goes after so long."""

Page = tuple[int, int, bytes]
"""Level, number and hashes."""


class Putting:
    """One object: its hash tree (`name`), then its chunks (`add`), then how it is kept (`finish`).

    After an error it is to be let go with `drop`.
    """

    def __init__(
        self,
        store: Store,
        arm_expiry: Callable[[int], None],
        header: ObjectHeader,
        pages: Sequence[Page],
        *,
        now_ms: int,
        min_bandwidth: int = 0,
        ttl_s: int | None = None,
    ) -> None:
        """`pages` are all of its tree; `arm_expiry` is told when its time is over, in milliseconds since
        1970."""
        self._store = store
        self._arm_expiry = arm_expiry
        self.header = header
        self._leaves = {number: page for level, number, page in pages if level == 1}
        self._unnamed = deque(reversed(pages))
        self._stored = StoredObject(
            header.id,
            header.kind,
            header.size,
            header.root,
            now_ms,
            now_ms + 1000 * ttl_s if ttl_s is not None else None,
            min_bandwidth,
        )
        before = store.get_object(header.id)
        self._fresh = before is None
        self.complete = before is not None and before.complete and self._sound()
        """Whether all of it is here, so that there is nothing to add."""
        self._until_ms = self._stored.expires_ms or now_ms + _UNFINISHED_MS
        """When what is not finished goes."""
        if not self.complete:
            store.begin_object(replace(self._stored, expires_ms=self._until_ms))

    def _sound(self) -> bool:
        """Whether what is here can be read. Of more than one chunk that is not looked at."""
        try:
            return self.header.size > CHUNK_SIZE or self._store.read_chunk(self.header.id, 0) is not None
        except KeyError:
            return False

    def name(self) -> bool:
        """Store some of its tree; False when all of it is there. Raises StoreFull when what is then known to
        be lacking will not fit, and InputError."""
        object_id, store = self.header.id, self._store
        try:
            for _ in range(min(_PAGES, len(self._unnamed))):
                store.add_page(object_id, *self._unnamed.popleft())
        except KeyError:
            raise InputError(_DELETED) from None
        if self._unnamed:
            return True
        here = self._store.get_object(object_id)
        self.complete = here is not None and here.complete
        have = here.chunks_have if here is not None else 0
        if not self.complete and not store.has_room(self.header.size - CHUNK_SIZE * have):
            _, used, quota = store.usage()
            raise StoreFull(
                f"no room for {self.header.size} bytes: {used} of {quota} bytes are in use; "
                "let objects go with nexus remove, or raise store.quota_mb in config.toml"
            )
        return False

    def add(self, first: int, chunks: Sequence[bytes]) -> None:
        """Chunks from number `first` on. Raises StoreFull, and InputError for what its tree does not say."""
        try:
            for number, chunk in enumerate(chunks, first):
                page, at = divmod(number, FAN_OUT)
                leaves = self._leaves.get(page, self.header.root)
                if leaf_hash(chunk) != leaves[at * HASH_SIZE : (at + 1) * HASH_SIZE]:
                    raise InputError("the file has changed while it was read; put it again")
                self._store.add_chunk(self.header.id, number, chunk)
        except KeyError:
            raise InputError(_DELETED) from None

    def check(self) -> StoredObject:
        """Raises InputError when not all of it is here."""
        here = self._store.get_object(self.header.id)
        if here is None or not here.complete:
            raise InputError("the file has changed while it was read; put it again")
        return here

    def finish(self) -> StoredObject:
        """All of it is added; how it is kept from now on. Raises InputError when that is not so."""
        here = self.check()
        content = self._store.read_object(self.header.id) if self.header.size <= CHUNK_SIZE else ()
        self._store.put_object(self._stored, content)
        stored = self._store.get_object(self.header.id) or here
        if stored.expires_ms is not None:
            self._arm_expiry(stored.expires_ms)
        return stored

    def drop(self) -> None:
        """It will not be finished: what there was not before goes again, unless another has put the same
        meanwhile and was told that it is stored."""
        here = self._store.get_object(self.header.id)
        if self._fresh and here is not None and here.expires_ms == self._until_ms:
            self._store.delete_object(self.header.id)
