"""The exchange of handshake messages over one carrier: who opens, what is repeated, what is believed (N3).

Yields an `Outcome` when keys are agreed; `nexus_node.proto.link` puts them to use.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf

from nexus_node.base.errors import BadWire
from nexus_node.base.ids import NodeId
from nexus_node.base.limits import HANDSHAKE_FRAMES, HANDSHAKE_TIMEOUT_S
from nexus_node.base.rng import Rng
from nexus_node.crypto.identity import Identity
from nexus_node.ports.driver import LinkProfile
from nexus_node.proto.handshake import Agreed, Answer, Attempt, HandshakeMaker, ephemeral_of
from nexus_node.proto.session import Session
from nexus_node.wire.frames import (
    Capabilities,
    Final,
    FrameKind,
    Handshaking,
    Lost,
    Opening,
    Reply,
    Retry,
    SealedFrame,
)

RETRY_MAX_S = 60.0
LARGEST_HANDSHAKE = 123
"""Bytes of an IK opening on a shared medium, the largest frame that goes in the clear; with a cookie 118."""
_TURNS_SHARED = 16
"""Frame times until an answer is missed where others send as well, and wait a random while before that; as
many as there are others, where those are more: each of them may have its turn first."""
_ANSWERS = 4
"""How often, at most, an opening is answered there: who opened shows that it heard one."""
_RECOVER_EVERY_S = 5.0
_IK_PATIENCE = 8
"""IK openings go unanswered with gaps of 1, 2, 4 and 8 rto before XX is tried, or on shared media nothing."""
Offer = Callable[[float], Capabilities]
Leave = Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Keys that were agreed.

    `confirm`: the peer waits for a first sealed frame. `rtt`: seconds from our last opening to its reply, or
    from our only reply to what it was answered with.
    """

    agreed: Agreed
    session: Session
    confirm: bool = False
    rtt: float | None = None


class Exchange:
    """Opens, answers and repeats handshakes; knows nothing of what the link does with the keys."""

    def __init__(
        self,
        identity: Identity,
        profile: LinkProfile,
        rng: Rng,
        *,
        dialed: bool,
        known: NodeId | None,
        offer: Offer,
        leave: Leave = lambda now: now,
        others: int = 0,
        now: float,
    ) -> None:
        """`known` is the node met behind this carrier last time, if any; `offer` what this side can do, asked
        whenever it says so; `leave` says from when on an opening may be repeated; `others` is how many share
        the air with this node."""
        self.index = int.from_bytes(rng.random_bytes(2), "little")
        """Ours, by which the peer's handshake and shared-medium frames name this link."""
        frame_time = LARGEST_HANDSHAKE * 8 / profile.bps
        self.rto = max(1.0, (max(_TURNS_SHARED, others) if profile.shared else 4) * frame_time)
        self.timeout = max(HANDSHAKE_TIMEOUT_S, 20 * frame_time)
        if profile.shared:
            self.timeout = max(self.timeout, _ANSWERS * 2 * self.rto)
        self.known = known
        self.frames: deque[bytes] = deque(maxlen=HANDSHAKE_FRAMES)
        """What is to go in the clear."""
        self.failed: str | None = None
        """Why an ordered carrier is of no use, once it is not."""
        self._profile = profile
        self._rng = rng
        self._dialed = dialed
        self._offer = offer
        self._leave = leave
        self._maker = HandshakeMaker(identity, rng)
        self._attempt: Attempt | None = None
        self._attempt_sent = now
        self._attempt_due = inf
        self._attempt_gap = self.rto
        self._completed: tuple[bytes, bytes | None] | None = None
        """The reply that completed our handshake and the XX3 frame it got, should the reply come again."""
        self._answer: Answer | None = None
        self._answer_index = 0
        self._answer_due = inf
        self._answer_until = now
        self._answer_began, self._answers_sent = now, 0
        self._unconfirmed: Outcome | None = None
        """Keys made by answering IK, in use once the peer has shown that it holds them."""
        self._recovered = float("-inf")

    @property
    def under_way(self) -> bool:
        return self._attempt is not None or self._answer is not None

    def open(self, now: float) -> None:
        """Open a handshake: IK when the node behind the carrier is known, else XX."""
        self._attempt = self._maker.open(self.known, self._offer(now))
        self._attempt_gap = self.rto
        self._send_opening(b"", now)

    def settle(self) -> None:
        """The link took an outcome into use: what else was under way is over."""
        self._attempt, self._attempt_due = None, inf
        self._answer, self._answer_due, self._unconfirmed = None, inf, None

    def receive(self, frame: Handshaking, now: float) -> Outcome | None:
        """Take a frame in. Raises BadWire with the counter's name; what was under way goes on."""
        match frame:
            case Opening():
                self._on_opening(frame, now)
            case Reply():
                return self._on_reply(frame, now)
            case Final():
                return self._on_final(frame, now)
            case Retry():
                self._on_retry(frame)
            case Lost():
                if self._attempt is not None and self._attempt.kind == FrameKind.IK1:
                    self.known = None  # somebody else is there
                    self.open(now)
        return None

    def recover(self, now: float) -> None:
        """The peer says it cannot read us: try anew, now and then, while the link stays as it is."""
        if self._attempt is None and now >= self._recovered + _RECOVER_EVERY_S:
            self._recovered = now
            self.open(now)

    def confirm(self, frame: SealedFrame, now: float) -> tuple[Outcome, bytes] | None:
        """Whether a sealed frame proves that the peer holds the keys of our IK answer, and its plaintext.

        Raises BadWire("bad_tag") or BadWire("replay").
        """
        if self._unconfirmed is None:
            return None
        plaintext = self._unconfirmed.session.open(frame, now)
        return replace(self._unconfirmed, rtt=self._answer_rtt(now)), plaintext

    def _queue(self, frame: bytes) -> None:
        """To go in the clear, once though its turn may be late."""
        if frame not in self.frames:
            self.frames.append(frame)

    # --- ours -----------------------------------------------------------------------------------
    def _send_opening(self, cookie: bytes, now: float) -> None:
        if self._attempt is None:
            return
        self._queue(Opening(self._attempt.kind, self.index, cookie, self._attempt.message).encode())
        self._attempt_sent = now
        if self._profile.ordered:
            self._attempt_due = now + self.timeout
            return
        jitter = 1 + self._rng.random_bytes(1)[0] / 1024
        self._attempt_due = now + self._attempt_gap * jitter
        self._attempt_gap = min(2 * self._attempt_gap, max(RETRY_MAX_S, 2 * _IK_PATIENCE * self.rto))

    def _on_reply(self, reply: Reply, now: float) -> Outcome | None:
        if self._completed is not None and reply.noise == self._completed[0]:
            if self._completed[1] is not None:  # our XX3 was lost
                self.frames.append(self._completed[1])
            return None
        expected = FrameKind.XX2 if self._attempt and self._attempt.kind == FrameKind.XX1 else FrameKind.IK2
        if self._attempt is None or reply.receiver != self.index or reply.kind != expected:
            raise BadWire("unasked_reply")
        agreed, message = self._attempt.finish(reply)
        final = Final(reply.sender, message).encode() if message is not None else None
        self._completed = (reply.noise, final)
        if final is not None:
            self.frames.append(final)
        return Outcome(agreed, self._session(agreed, now), final is None, now - self._attempt_sent)

    def repeats_reply(self, frame: Handshaking) -> bool:
        """Whether this is the reply we have acted on: then the peer waits for our first sealed frame."""
        return isinstance(frame, Reply) and self._completed is not None and frame.noise == self._completed[0]

    def _on_retry(self, retry: Retry) -> None:
        if self._attempt is None or retry.receiver != self.index:
            raise BadWire("unasked_reply")
        self._send_opening(retry.cookie, self._attempt_sent)

    # --- the peer's -----------------------------------------------------------------------------
    def _on_opening(self, opening: Opening, now: float) -> None:
        if self._answer is not None and opening.noise == self._answer.opening:
            self._send_answer(now)
            return
        if self._attempt is not None and ephemeral_of(self._attempt.message) <= ephemeral_of(opening.noise):
            return  # the peer will answer ours, or it is ours, come back
        try:
            answer = self._maker.answer(opening.kind, opening.noise, self._offer(now))
            agreed = answer.agreed(opening.sender) if opening.kind == FrameKind.IK1 else None
        except BadWire:
            if opening.kind == FrameKind.IK1 and not self._profile.shared:  # it takes us for somebody else
                self.frames.append(Lost().encode())
            raise
        self._attempt, self._attempt_due = None, inf
        self._answer, self._answer_index = answer, opening.sender
        self._answer_until = now + self.timeout
        self._answer_began, self._answers_sent = now, 0
        self._unconfirmed = None if agreed is None else Outcome(agreed, self._session(agreed, now))
        self._send_answer(now)

    def _send_answer(self, now: float) -> None:
        if self._answer is not None:
            self._answers_sent += 1
            kind = FrameKind.XX2 if self._unconfirmed is None else FrameKind.IK2
            self._queue(Reply(kind, self.index, self._answer_index, self._answer.message).encode())
            self._answer_due = self._answer_until if self._profile.ordered else now + 2 * self.rto

    def _on_final(self, final: Final, now: float) -> Outcome:
        if self._answer is None or self._unconfirmed is not None or final.receiver != self.index:
            raise BadWire("unasked_reply")
        agreed = self._answer.finish(self._answer_index, final.noise)
        return Outcome(agreed, self._session(agreed, now), rtt=self._answer_rtt(now))

    def _answer_rtt(self, now: float) -> float | None:
        """Datagrams to a peer that is asked promptly whether it is there need it from the first on. What was
        sent twice tells nothing (Karn's algorithm, RFC 6298)."""
        tells = self._answers_sent == 1 and not (self._profile.ordered or self._profile.shared)
        return now - self._answer_began if tells else None

    def _session(self, agreed: Agreed, now: float) -> Session:
        index = agreed.index if self._profile.shared else None
        return Session(agreed.send_key, agreed.open_key, agreed.binding, index, now)

    # --- time -----------------------------------------------------------------------------------
    def deadlines(self) -> tuple[float, float]:
        """When `expire` wants to be called."""
        return self._attempt_due, self._answer_due

    def expire(self, now: float, *, up: bool) -> None:
        """Repeat what is due; `up` says whether the link works meanwhile."""
        if now >= self._attempt_due:
            if self._profile.ordered:
                self.failed = "the other side did not answer the handshake"
                return
            if self._attempt_gap > _IK_PATIENCE * self.rto and self._profile.shared:
                self.failed = "that node does not answer"
            elif self._attempt_gap > _IK_PATIENCE * self.rto and self.known is not None:
                self.known = None  # nobody answers to that key: whoever is there may be somebody else
                self.open(now)
            elif (at := self._leave(now)) > now:
                self._attempt_due = at
            else:
                self._send_opening(b"", now)
        if now >= self._answer_due:
            if now < self._answer_until:
                self._send_answer(now)
                return
            self._answer, self._answer_due, self._unconfirmed = None, inf, None
            if self._dialed and not up:  # a forged opening must not end our own trying
                self.open(now)
