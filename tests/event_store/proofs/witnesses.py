"""What tests share that need a witness: one in a thread of the test, which can be away and come back."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from event_store.proofs import checkpoint, note, witness
from event_store.proofs.note import Note, SignerKey
from event_store.proofs.tiles import Store
from event_store.proofs.witness_list import Witness
from event_store.proofs.witness_server import Server


class Cosigner:
    """A witness with a directory and a port of its own; it begins to serve when `serving` is entered."""

    def __init__(self, directory: Path, *keys: SignerKey, name: str = "witness.test/w1") -> None:
        self.directory = directory
        self.key = witness.create(directory, name=name)
        for key in keys:
            witness.trust(directory, key.verifier)
        self._port = 0
        with self.serving():
            pass  # takes a free port, which it keeps

    @property
    def listed(self) -> Witness:
        """As a log lists it."""
        return Witness(self.key, f"http://127.0.0.1:{self._port}")

    @contextlib.contextmanager
    def serving(self) -> Iterator[Server]:
        with (
            witness.opened(self.directory) as storage,
            Server(witness.Witness(storage), host="127.0.0.1", port=self._port) as server,
        ):
            self._port = server.server_address[1]
            thread = threading.Thread(target=server.serve_forever, args=[0.02], daemon=True)
            thread.start()
            try:
                yield server
            finally:
                server.shutdown()
                thread.join()


def published(store: Store) -> Note | None:
    """The note that stands next to the tiles."""
    content = store.read("checkpoint")
    return None if content is None else note.parse(content)


def published_size(store: Store) -> int:
    found = published(store)
    return 0 if found is None else checkpoint.parse(found.text).size


def cosigned_by(store: Store) -> list[str]:
    """Whose cosignatures the published checkpoint carries."""
    found = published(store)
    return [] if found is None else [each.name for each in found.signatures if note.cosigned_at(each)]
