"""Requests to witnesses: cosignatures of the newest checkpoint (https://c2sp.org/tlog-witness).

Each witness has a thread of its own, so that one that is slow or away delays neither the others nor the sealer.

Errors:
    SubmissionError
    ├── WitnessUnavailable   no answer, or none that can be used: ask again later
    └── HistoryRefused       the witness knows another history of this log: it must not go on
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

import httpx
import structlog
from msgspec import Struct

from event_store.consumers.backoff import Backoff
from event_store.proofs import checkpoint, note
from event_store.proofs.note import Note, NoteError, Signature, VerifierKey
from event_store.proofs.proving import Tree, TreeDamaged
from event_store.proofs.tiles import Store
from event_store.proofs.witness import SIZE_CONTENT_TYPE, Request
from event_store.proofs.witness_list import Witness

TIMEOUT_S: Final = 2.0
"""For each step of an exchange."""
EXCHANGE_S: Final = 10.0
"""For one request from its begin to the end of its answer."""
ANSWER_BYTES_MAX: Final = note.NOTE_BYTES_MAX
BACKOFF_MAX_S: Final = 10.0
"""The longest wait behind failures of one witness."""
TOGETHER_S: Final = 1.0
"""So long a checkpoint waits for the cosignatures of slow witnesses while a newer one is there already: cosignatures of
several witnesses only count together under one checkpoint."""
FRESH_EVERY_S: Final = 60.0
"""How often a log that does not grow has its last checkpoint cosigned again, so that the time in it is fresh."""
CLOSED_WITHIN_S: Final = 0.2
"""How long closing waits for threads; one that is in the middle of an exchange ends by itself."""

log = structlog.get_logger()

Proof = Callable[[int, int], Sequence[bytes]]
"""The consistency proof between two sizes of this log, the smaller first."""


class SubmissionError(Exception):
    """A checkpoint was not cosigned."""


class WitnessUnavailable(SubmissionError):
    """The witness does not answer, does not know this log, or answers what makes no sense."""


class HistoryRefused(SubmissionError):
    """The log was cut, restored from a backup or forked since this witness cosigned, or its key signs elsewhere."""


class WitnessClient:
    """One witness, over a connection that is kept open. Not for several threads at a time."""

    def __init__(self, url: str, key: VerifierKey, *, transport: httpx.BaseTransport | None = None) -> None:
        """Speak to a witness.

        Args:
            url: its submission prefix.
            key: what its cosignatures are verified with.
            transport: replaces the network, in tests.
        """
        self.key = key
        self._url = url.rstrip("/")
        self._client = httpx.Client(timeout=TIMEOUT_S, transport=transport)
        self._known = 0

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    def cosign(self, signed: Note, proof: Proof) -> Signature:
        """Have a checkpoint cosigned.

        Raises:
            WitnessUnavailable: it was not, and may be later.
            HistoryRefused: the witness has cosigned what this checkpoint does not go on from.
        """
        size = checkpoint.parse(signed.text).size
        for _ in range(2):  # the second time from where the witness says that it stands
            old = min(self._known, size)
            body = Request(old, tuple(proof(old, size)) if old else (), signed).encode()
            answer = self._post(body)
            if answer.status_code != httpx.codes.CONFLICT:
                return self._cosignature(answer, signed, size=size)
            if old == size and answer.refuses_root(size):
                raise HistoryRefused(
                    f"{self.key.name} has cosigned another tree of {size} events of this log"
                )
            self._known = answer.size()
            if self._known > size:
                raise HistoryRefused(
                    f"{self.key.name} has cosigned {self._known} events of this log, which has {size} now"
                )
        raise WitnessUnavailable(
            f"{self.key.name} answers with different sizes of this log: another log may use its name"
        )

    def _post(self, body: bytes) -> "_Answer":
        until_s, content = time.monotonic() + EXCHANGE_S, bytearray()
        try:
            with self._client.stream("POST", f"{self._url}/add-checkpoint", content=body) as answer:
                for part in answer.iter_bytes():
                    content += part
                    if len(content) > ANSWER_BYTES_MAX or time.monotonic() > until_s:
                        raise WitnessUnavailable(f"{self.key.name} at {self._url} does not finish its answer")
        except httpx.HTTPError as error:
            raise WitnessUnavailable(f"{self.key.name} at {self._url} does not answer: {error!r}") from error
        text = content.decode(errors="replace")
        return _Answer(answer.status_code, answer.headers.get("Content-Type", ""), text)

    def _cosignature(self, answer: "_Answer", signed: Note, *, size: int) -> Signature:
        if answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
            raise HistoryRefused(f"{self.key.name} refuses this history: {answer.text.strip()[:200]}")
        if answer.status_code != httpx.codes.OK:
            said = f"{answer.status_code} {answer.text.strip()[:200]}"
            raise WitnessUnavailable(f"{self.key.name} at {self._url} answers {said}")
        try:
            cosigned = note.parse(signed.encode() + answer.text)
            note.verify(cosigned, [self.key])
        except NoteError as error:
            raise WitnessUnavailable(f"{self.key.name} answers no cosignature of its own: {error}") from error
        self._known = size
        key = self.key.name, self.key.key_id
        return next(each for each in cosigned.signatures if (each.name, each.key_id) == key)


class _Answer(Struct, frozen=True):
    """The answer of a witness."""

    status_code: int
    content_type: str
    text: str

    def size(self) -> int:
        """Of the newest checkpoint that it cosigned, from a conflict."""
        text = self.text.strip()
        if self.content_type != SIZE_CONTENT_TYPE or not (text.isascii() and text.isdigit()):
            raise WitnessUnavailable(f"a conflict names no size: {text[:200]!r}")
        return int(text)

    def refuses_root(self, size: int) -> bool:
        """Whether a conflict about a checkpoint of the size that the witness knows is one about its root."""
        return self.content_type != SIZE_CONTENT_TYPE or self.size() == size


class SubmissionAnswer(Struct, frozen=True):
    """The result of one submission: a cosignature of the checkpoint, or the reason why there is none."""

    witness: Witness
    text: str
    """Of the checkpoint."""
    signature: Signature | None = None
    failure: str | None = None
    refusal: str | None = None

    @property
    def size(self) -> int:
        """Events of the checkpoint."""
        return checkpoint.parse(self.text).size


class _Target(Struct, frozen=True):
    """A checkpoint on its way to the witnesses, and since when."""

    signed: Note
    since_s: float


class _Progress:
    """What one witness did last; changed under the lock of all."""

    def __init__(self) -> None:
        self.backoff = Backoff(longest_s=BACKOFF_MAX_S)
        self.answered: _Target | None = None
        self.failed = False
        self.due_s = float("-inf")
        """When to ask again although nothing is new; not before then if it failed."""

    def is_due(self, target: _Target, now_s: float) -> bool:
        """Whether this is to be submitted now."""
        return now_s >= self.due_s or (self.answered is not target and not self.failed)


class Submissions:
    """The newest checkpoint of a log on its way to all witnesses, by a thread for each.

    All witnesses get the same checkpoints as far as they keep up. What they answer is kept until it is taken.
    """

    def __init__(
        self,
        witnesses: Sequence[Witness],
        store: Store,
        *,
        announce: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin the threads; they wait for a checkpoint.

        Args:
            witnesses: whom to submit to.
            store: the tiles, for consistency proofs.
            announce: called by any thread when there is an answer to be taken.
            clock: seconds that never go back.
        """
        self._store = store
        self._announce = announce
        self._clock = clock
        self._changed = threading.Condition()
        self._newest: _Target | None = None
        self._target: _Target | None = None
        self._answers: list[SubmissionAnswer] = []
        self._closed = False
        self._progress = {each.key: _Progress() for each in witnesses}
        self._threads = [
            threading.Thread(target=self._run, args=(each,), name=f"witness {each.key.name}", daemon=True)
            for each in witnesses
        ]
        for thread in self._threads:
            thread.start()

    def offer(self, signed: Note) -> None:
        """Submit a checkpoint whose tiles are there; one that was offered before and nobody has got is passed over."""
        with self._changed:
            self._newest = _Target(signed, self._clock())
            self._changed.notify_all()

    def answers(self) -> list[SubmissionAnswer]:
        """What was answered since they were taken last."""
        with self._changed:
            taken, self._answers = self._answers, []
        return taken

    def wait_for_all(self, timeout_s: float) -> None:
        """Wait until every witness answered what was offered first, or the time is over."""
        with self._changed:
            self._changed.wait_for(
                lambda: all(each.answered is not None for each in self._progress.values()), timeout_s
            )

    def close(self) -> None:
        """Submit nothing more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(CLOSED_WITHIN_S)

    def _run(self, witness: Witness) -> None:
        """One witness, until the end or until it refuses."""
        client, progress = WitnessClient(witness.url, witness.key), self._progress[witness.key]
        try:
            while (target := self._next(progress)) is not None:
                answer = self._submitted(client, witness, target.signed)
                with self._changed:
                    self._note(progress, target, answer)
                    self._changed.notify_all()
                self._announce()
                if answer.refusal is not None:
                    return
        finally:
            client.close()

    def _note(self, progress: _Progress, target: _Target, answer: SubmissionAnswer) -> None:
        progress.answered, progress.failed = target, answer.signature is None
        if progress.failed:
            wait_s = progress.backoff.after_failure()
        else:
            progress.backoff.reset()
            wait_s = FRESH_EVERY_S
        progress.due_s = self._clock() + wait_s
        self._answers.append(answer)

    def _submitted(self, client: WitnessClient, witness: Witness, signed: Note) -> SubmissionAnswer:
        """Submit, once. A proof is verified here before it leaves: a damaged tile is no fork."""
        tree = Tree(self._store, signed, checkpoint.parse(signed.text))
        try:
            signature = client.cosign(signed, lambda old, _: tree.consistency(old)[1])
        except HistoryRefused as error:
            return SubmissionAnswer(witness, signed.text, refusal=str(error))
        except (WitnessUnavailable, TreeDamaged, OSError) as error:
            return SubmissionAnswer(witness, signed.text, failure=str(error))
        except Exception as error:  # the outer loop of a thread: it says what is wrong and tries again
            log.exception("witness_failed", witness=witness.key.name)
            return SubmissionAnswer(witness, signed.text, failure=repr(error))
        return SubmissionAnswer(witness, signed.text, signature=signature)

    def _next(self, progress: _Progress) -> _Target | None:
        """Wait for what is to be submitted next; None at the end."""
        with self._changed:
            while not self._closed:
                now_s = self._clock()
                self._advance(now_s)
                if self._target is not None and progress.is_due(self._target, now_s):
                    return self._target
                self._changed.wait(self._wait_s(progress, now_s))
        return None

    def _advance(self, now_s: float) -> None:
        """Go on to the newest checkpoint once nobody is expected to answer the one before any more."""
        before, newest = self._target, self._newest
        if before is newest or newest is None:
            return
        expected = any(
            each.answered is not before and before is not None and each.is_due(before, now_s)
            for each in self._progress.values()
        )
        if before is None or not expected or now_s - before.since_s >= TOGETHER_S:
            self._target = _Target(newest.signed, now_s)
            self._newest = self._target

    def _wait_s(self, progress: _Progress, now_s: float) -> float | None:
        """Until something may be due for one witness without news; None: only news matters."""
        if self._target is None:
            return None
        times = [progress.due_s]
        if self._newest is not self._target:
            times.append(self._target.since_s + TOGETHER_S)
        return min((each - now_s for each in times if each > now_s), default=None)
