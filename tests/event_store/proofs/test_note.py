"""Signed notes: the examples of the specification and of Go's sumdb/note, and what is refused."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_store.proofs import checkpoint, merkle, note
from event_store.proofs.checkpoint import Checkpoint
from event_store.proofs.note import COSIGNATURE, MalformedNote, Note, SignerKey, UnverifiedNote, VerifierKey

SPEC_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
SPEC_NOTE = """\
This is an example message.

— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=
"""
GO_SECRET = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = """\
If you think cryptography is the answer to your problem,
then you don't know what your problem is.
"""
GO_SIGNED = "— PeterNeumann "
GO_SIGNED += "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"

ORIGIN = "counterfoil.test/0190"
KEY = SignerKey(ORIGIN, bytes(range(32)))
OTHER = SignerKey(ORIGIN, bytes(range(1, 33)))
WITNESS = SignerKey("witness.test/w1", bytes(range(2, 34)), COSIGNATURE)
CHECKPOINT = Checkpoint(ORIGIN, 3, merkle.leaf_hash(b"root"))


def test_the_note_of_the_specification_is_verified():
    key = VerifierKey.parse(SPEC_KEY)

    assert [key] == note.verify(note.parse(SPEC_NOTE), [key])
    assert SPEC_KEY == str(key)
    assert SPEC_NOTE == note.parse(SPEC_NOTE).encode()


def test_a_key_of_gos_library_signs_as_there():
    key = SignerKey.parse(GO_SECRET)

    assert GO_KEY == str(key.verifier)
    assert GO_SECRET == key.secret()
    assert GO_SIGNED == key.sign(GO_TEXT).line


@given(seed=st.binary(min_size=32, max_size=32), algorithm=st.sampled_from([1, 4]))
def test_keys_are_read_as_they_are_written(seed: bytes, algorithm: note.Algorithm):
    key = SignerKey("log.example/ä", seed, algorithm)

    assert key == SignerKey.parse(key.secret())
    assert key.verifier == VerifierKey.parse(str(key.verifier))


def test_a_key_shows_no_secret_where_it_is_printed():
    shown = f"{KEY!r} {KEY} {KEY!s}"

    assert base64.b64encode(KEY.seed[:24]).decode() not in shown
    assert KEY.secret() not in shown
    assert str(KEY.verifier) in shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.com/foo",
        "example.com/foo+530d903a",
        "example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/fop+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903a+AukyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2",
        "example com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
    ],
)
def test_what_is_no_key_is_refused(text: str):
    with pytest.raises(MalformedNote):
        VerifierKey.parse(text)
    with pytest.raises(MalformedNote) as refused:
        SignerKey.parse(f"PRIVATE+KEY+{text}")
    assert "AekyeRrm" not in str(refused.value)


def test_a_private_key_with_another_id_is_refused():
    with pytest.raises(MalformedNote, match="not the one that its id says"):
        SignerKey.parse(GO_SECRET.replace("c74f20a3", "c74f20a4"))
    with pytest.raises(MalformedNote, match="PRIVATE"):
        SignerKey.parse(GO_KEY)


@pytest.mark.parametrize(
    "encoded",
    [
        b"",
        b"text\n",
        b"text\n\n",
        b"text\n\n\xe2\x80\x94 name\n",
        b"text\n\n\xe2\x80\x94 name c2ln\n",
        b"text\n\n\xe2\x80\x94 name AAAAAA==\n",
        b"text\n\n\xe2\x80\x94 name AAAAAAB=\n",
        b"text\n\n\xe2\x80\x94 na+me AAAAAAAAAAAA\n",
        b"text\n\n- name AAAAAAAAAAAA\n",
        b"text\n\n\xe2\x80\x94 name AAAAAAAAAAAA",
        b"te\txt\n\n\xe2\x80\x94 name AAAAAAAAAAAA\n",
        b"te\xffxt\n\n\xe2\x80\x94 name AAAAAAAAAAAA\n",
        b"text\n\n" + b"\xe2\x80\x94 name AAAAAAAAAAAA\n" * 65,
        b"text\n" * 20_000 + b"\n\xe2\x80\x94 name AAAAAAAAAAAA\n",
    ],
)
def test_what_is_no_note_is_refused(encoded: bytes):
    with pytest.raises(MalformedNote):
        note.parse(encoded)


def test_an_empty_line_in_the_text_does_not_end_it():
    signed = Note("above\n\nbelow\n", (KEY.sign("above\n\nbelow\n"),))

    assert signed == note.parse(signed.encode())


def test_a_known_key_that_is_claimed_falsely_refuses_the_note():
    signed = CHECKPOINT.signed(KEY, OTHER)
    forged = Note(
        signed.text, (signed.signatures[0], note.Signature(ORIGIN, OTHER.verifier.key_id, b"x" * 64))
    )

    assert [KEY.verifier, OTHER.verifier] == note.verify(signed, [KEY.verifier, OTHER.verifier])
    assert [KEY.verifier] == note.verify(forged, [KEY.verifier])
    with pytest.raises(UnverifiedNote, match="not of this text"):
        note.verify(forged, [KEY.verifier, OTHER.verifier])


def test_a_note_that_no_known_key_signed_is_refused():
    with pytest.raises(UnverifiedNote, match="no key that is known here"):
        note.verify(CHECKPOINT.signed(KEY), [OTHER.verifier])


def test_a_changed_text_is_refused():
    signed = CHECKPOINT.signed(KEY)

    with pytest.raises(UnverifiedNote):
        note.verify(Note(signed.text.replace("\n3\n", "\n4\n"), signed.signatures), [KEY.verifier])


def test_a_checkpoint_is_three_lines():
    assert f"{ORIGIN}\n3\n{base64.b64encode(CHECKPOINT.root).decode()}\n" == CHECKPOINT.text
    assert CHECKPOINT == checkpoint.parse(CHECKPOINT.text)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n3\n", "\n03\n"),
        lambda text: text.replace("\n3\n", "\n-3\n"),
        lambda text: text.replace("\n3\n", "\n٣\n"),
        lambda text: text.replace("\n3\n", "\n9999999999999999999\n"),
        lambda text: text.replace(ORIGIN, ""),
        lambda text: f"{text}an extension\n",
        lambda text: text[:-1],
        lambda text: text.replace("=", ""),
        lambda text: text[:-5] + "=\n",
    ],
)
def test_what_is_no_checkpoint_is_refused(change):
    with pytest.raises(MalformedNote):
        checkpoint.parse(change(CHECKPOINT.text))


def test_only_a_key_named_like_the_log_says_what_the_log_holds():
    stranger = SignerKey("stranger.test/log", KEY.seed)

    assert CHECKPOINT == checkpoint.verified(CHECKPOINT.signed(KEY), [KEY.verifier, stranger.verifier])
    with pytest.raises(UnverifiedNote, match="no key of the log"):
        checkpoint.verified(CHECKPOINT.signed(stranger), [stranger.verifier])


def test_a_cosignature_says_when_and_is_no_signature_of_the_log():
    signed = CHECKPOINT.signed(KEY)
    cosigned = note.parse(signed.with_signatures(WITNESS.cosign(signed.text, time_s=1679315147)).encode())

    assert [KEY.verifier, WITNESS.verifier] == note.verify(cosigned, [KEY.verifier, WITNESS.verifier])
    assert 1679315147 == note.cosigned_at(cosigned.signatures[1])
    with pytest.raises(UnverifiedNote):
        checkpoint.verified(cosigned, [WITNESS.verifier])


def test_a_cosignature_of_another_time_or_text_is_refused():
    signed = CHECKPOINT.signed(KEY)
    cosignature = WITNESS.cosign(signed.text, time_s=1679315147)
    later = note.Signature(
        cosignature.name, cosignature.key_id, (1679315148).to_bytes(8, "big") + cosignature.signature[8:]
    )
    short = note.Signature(cosignature.name, cosignature.key_id, cosignature.signature[8:])
    for wrong in (later, short):
        with pytest.raises(UnverifiedNote):
            note.verify(signed.with_signatures(wrong), [WITNESS.verifier])
    with pytest.raises(UnverifiedNote):
        note.verify(Note("other\n", (cosignature,)), [WITNESS.verifier])
