"""The list of witnesses that a setting names."""

import pytest

from event_store.proofs.note import COSIGNATURE, MalformedNote, SignerKey
from event_store.proofs.witness_list import Witness, parse
from tests.event_store.proofs.sealing import KEY

AWAY = Witness(SignerKey("away.test", bytes(32), COSIGNATURE).verifier, "http://127.0.0.1:1")


def test_a_list_of_witnesses_names_keys_that_cosign_and_urls():
    key = SignerKey("w.test", bytes(32), COSIGNATURE).verifier

    assert [Witness(key, "http://w.test:8090"), AWAY] == parse(
        f"{key} http://w.test:8090, {AWAY.key}  {AWAY.url}"
    )
    for joined, why in (
        (f"{KEY.verifier} http://w.test", "the key of a log"),
        ("w.test http://w.test", "no verifier key"),
        (f"{key} http://a,{key} http://b", "twice"),
    ):
        with pytest.raises(MalformedNote, match=why):
            parse(joined)
