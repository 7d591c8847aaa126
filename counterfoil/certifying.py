"""Certificates of views: a build is folded again from the log, and what it holds is signed."""

import time
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from counterfoil import addresses, progress, sealing, viewing
from counterfoil.context import Contexts
from event_store.log import pacing
from event_store.proofs import certificate, checkpoint, key_file, ledger, proving
from event_store.proofs.certificate import Certificate, ParkedKey
from event_store.proofs.key_file import KeyFileError
from event_store.proofs.note import Note, SignerKey, UnknownSigner
from event_store.proofs.proving import NotSealedYet, Tree
from event_store.proofs.tiles import Directory
from projections import builds, certifying
from runtime import database
from runtime.settings import Settings

SEALED_WITHIN_S: Final = 10.0
"""How long is waited for the checkpoint that covers what was read."""
SEALED_POLL_S: Final = 0.2


class Certified(Struct, frozen=True):
    """A certificate as it was signed."""

    signed: Note
    certificate: Certificate


def certify(settings: Settings, name: str, *, contexts: Contexts) -> Certified:
    """Fold the live build of a view again, and sign what it holds; works while the shop runs.

    Raises:
        NoSuchBuild, NotDeclared, BuildRefused: there is no such view that could be certified.
        ViewDiffers, FoldFailed: its rows are not what the log makes of them.
        KeyFileError: the key that seals is not here.
        NoProof: what was read is not sealed within a while.
    """
    keys = key_file.read(sealing.file_of(settings, None))
    url = addresses.database_url(settings)
    viewing.named(name, contexts)
    with (
        sealing.reader(settings) as connection,
        database.connect(url, role="counterfoil_reader", name="audit-pace") as pacing_connection,
    ):
        build = builds.live(connection, name)
        view = viewing.in_shape(build, contexts)
        pace = pacing.of_log(pacing_connection)
        with progress.step(f"folding {name} again", total=None, unit="positions") as step:

            def reached(position: int) -> None:
                step.move_to(position)
                pace.give_way()

            rows = certifying.certified(connection, view, build, on_progress=reached)
        tree = _sealed_upto(settings, rows.size)
        key = _signer(tree, keys)
        known = ledger.policy(connection, tree.checkpoint.origin)
    found = Certificate(
        origin=tree.checkpoint.origin,
        view=name,
        shape=build.shape,
        build=build.build,
        fold=certifying.fold_version(view),
        size=rows.size,
        log_root=tree.root(rows.size).hex(),
        positions=rows.positions,
        skips=tuple(sorted(rows.target.skips)),
        parked=tuple(ParkedKey(each.partition_key, each.position, each.reason) for each in rows.parked),
        stopped=rows.stopped,
        rows=rows.rows,
        root=rows.root.hex(),
    )
    signed = found.signed(key)
    certificate.verified(signed.encode(), known.keys)
    return Certified(signed, found)


def _sealed_upto(settings: Settings, size: int) -> Tree:
    """The sealed tree, once it covers so many events."""
    store, give_up_s = Directory(settings.tiles), time.monotonic() + SEALED_WITHIN_S
    while (tree := proving.published(store)).checkpoint.size < size:
        if time.monotonic() > give_up_s:
            raise NotSealedYet(f"{tree.checkpoint.size:,} events are sealed, and the view is of {size:,}")
        time.sleep(SEALED_POLL_S)
    return tree


def _signer(tree: Tree, keys: Sequence[SignerKey]) -> SignerKey:
    """The key that signed the newest checkpoint."""
    for key in keys:
        try:
            checkpoint.verified(tree.signed, [key.verifier])
        except UnknownSigner:
            continue
        return key
    raise KeyFileError(
        "no key in the file signed the newest checkpoint: certificates are signed by the key that seals"
    )
