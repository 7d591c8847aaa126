"""What tests of certificates and cases share: a shop with some history, sealed, all of it in the views."""

import secrets

from counterfoil.contexts import CONTEXTS
from domain.event import partition_key_of, tags_of
from event_store.log import codec
from event_store.log.envelope import ANY, AppendRequest, Expectation, Metadata, NewEvent, encode_metadata
from event_store.proofs import key_file
from event_store.proofs.tiles import Directory
from tests.counterfoil import commanding
from tests.event_store.proofs.sealing import seal
from tests.projections.feeding import append_requests, feeding, settle


class Shop:
    """A shop with some history, sealed, all of it in the views."""

    def __init__(self, url, home):
        self.url, self.home = url, home
        settle(url)
        generated = self.run("seal-key", "generate", str(home / "seal.key"))
        assert 0 == generated.exit_code, generated.stderr
        self.key = key_file.read(home / "seal.key")[0].verifier

    def run(self, *arguments):
        settings = {"COUNTERFOIL_SEAL_KEY": str(self.home / "seal.key")}
        return commanding.run(self.home, *arguments, database_url=self.url, **settings)

    def record(self, events):
        append_requests(self.url, [request(stream, *each) for stream, *each in events])

    def settle(self):
        with feeding(self.url, CONTEXTS.views) as feeder:
            feeder.catch_up()
        self.seal()

    def seal(self):
        seal(self.url, Directory(self.home / "seal"), *key_file.read(self.home / "seal.key"))

    def certify(self, view):
        path = self.home / f"{view}.certificate"
        certified = self.run("audit", "certify", "--view", view)
        assert certified.exit_code in {0, 2}, certified.stderr
        path.write_text(certified.stdout)
        return path

    def export(self, *certificates, name="all.bundle"):
        path = self.home / name
        given = [part for each in certificates for part in ("--certificate", each)]
        exported = self.run("audit", "export", path, *given)
        assert 0 == exported.exit_code, exported.stderr
        return path


def request(stream, name, payload, partition_key=None, tags=()):
    metadata = Metadata(
        actor="tester",
        command="test",
        correlation_id="c",
        nonce=secrets.token_bytes(16),
        partition_key=partition_key,
        tags=tags,
    )
    return AppendRequest(
        key=secrets.token_bytes(16),
        fingerprint=bytes(32),
        events=(NewEvent(stream, name, payload, encode_metadata(metadata), partition_key, tags),),
        expectations=(Expectation(stream, ANY),),
    )


def recorded(events):
    return [
        (stream, *codec.encode(event), partition_key_of(event), tags_of(event)) for stream, event in events
    ]
