import msgspec
import pytest

from domain.sealed import NONCE_BYTES, TAG_BYTES, KeyId, Sealed

VALUE = Sealed(KeyId("k1"), bytes(NONCE_BYTES), bytes(range(TAG_BYTES)))
JSON = b'["k1","AAAAAAAAAAAAAAAA","AAECAwQFBgcICQoLDA0ODw=="]'


def test_a_sealed_value_is_an_array_of_three_texts():
    assert JSON == msgspec.json.encode(VALUE)
    assert VALUE == msgspec.json.decode(JSON, type=Sealed)


@pytest.mark.parametrize(
    "json",
    [
        b'"Ada Lovelace"',
        b'["k1","AAAA","AAECAwQFBgcICQoLDA0ODw=="]',
        b'["k1","AAAAAAAAAAAAAAAA","AAAA"]',
        b'["k1","AAAAAAAAAAAAAAAA"]',
    ],
    ids=["text", "short nonce", "no room for a tag", "no ciphertext"],
)
def test_what_cannot_have_been_sealed_does_not_decode(json):
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(json, type=Sealed)
