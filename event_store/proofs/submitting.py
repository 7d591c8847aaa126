"""What a log asks of a witness: a cosignature of its newest checkpoint (https://c2sp.org/tlog-witness).

Errors:
    SubmissionError
    ├── WitnessUnavailable   no answer, or none that can be used: ask again later
    └── HistoryRefused       the witness knows another history of this log: it must not go on
"""

from collections.abc import Callable, Sequence
from typing import Final

import httpx

from event_store.proofs import checkpoint, note
from event_store.proofs.note import Note, NoteError, Signature, VerifierKey
from event_store.proofs.witness import SIZE_CONTENT_TYPE, Request

TIMEOUT_S: Final = 2.0
"""For each step of an exchange."""

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
            self._known = _size(answer)
            if self._known > size:
                raise HistoryRefused(
                    f"{self.key.name} has cosigned {self._known} events of this log, which has {size} now"
                )
        raise WitnessUnavailable(
            f"{self.key.name} changes its mind about where it stands: does another log use its name?"
        )

    def _post(self, body: bytes) -> httpx.Response:
        try:
            return self._client.post(f"{self._url}/add-checkpoint", content=body)
        except httpx.HTTPError as error:
            raise WitnessUnavailable(f"{self.key.name} at {self._url} does not answer: {error!r}") from error

    def _cosignature(self, answer: httpx.Response, signed: Note, *, size: int) -> Signature:
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


def _size(answer: httpx.Response) -> int:
    text = answer.text.strip()
    if answer.headers.get("Content-Type") != SIZE_CONTENT_TYPE or not (text.isascii() and text.isdigit()):
        raise WitnessUnavailable(f"a conflict without a size is none: {text[:200]!r}")
    return int(text)
