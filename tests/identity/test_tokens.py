"""Rows T1 to T4 of the security checks: tokens that are none of ours are refused alike, cheaply, and ask nobody."""

import base64
import json
import logging
import time
import warnings
from typing import Any, Final

import pytest
from joserfc import jwe, jws
from joserfc.jwk import OctKey, OKPKey

from commands.identity.sessions import private_key
from runtime.identity import tokens
from runtime.identity.lifetimes import LEEWAY_S
from runtime.identity.tokens import AUDIENCE, TOKEN_BYTES_MAX, BadToken, Claims
from runtime.identity.trust import Trust, public_key

KEY: Final = private_key("k-1", bytes(range(32)))
OTHER: Final = private_key("k-1", bytes(32))
PUBLIC: Final = base64.urlsafe_b64decode(KEY.as_dict()["x"] + "=")
KEYS: Final = {"k-1": public_key("k-1", PUBLIC)}
ISSUER: Final = "counterfoil:test"
NOW: Final = 1_800_000_000
CPU_S_MAX: Final = 0.005


def claims(**changes: Any) -> dict[str, Any]:
    """What a good token says, with changes; a claim that is None is missing."""
    said = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "a-1",
        "sid": "s-1",
        "jti": "s-1.1",
        "client_id": "shop",
        "kind": "account",
        "roles": ["owner"],
        "iat": NOW,
        "exp": NOW + 600,
    }
    return {name: value for name, value in {**said, **changes}.items() if value is not None}


def signed(said: dict[str, Any], *, key: OKPKey = KEY, **header: Any) -> bytes:
    """A token with any header, signed with a key."""
    protected = {"alg": "EdDSA", "typ": "at+jwt", "kid": "k-1", **header}
    return by_hand(protected, said, lambda message: key.get_op_key("sign").sign(message))


def by_hand(protected: dict[str, Any], said: dict[str, Any], sign: Any) -> bytes:
    message = b".".join(encoded(json.dumps(part).encode()) for part in (protected, said))
    return message + b"." + encoded(sign(message))


def encoded(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def read(token: bytes) -> Claims:
    return tokens.read(token, KEYS, issuer=ISSUER, now=NOW)


def test_a_good_token_says_who_it_stands_for():
    assert "a-1" == read(signed(claims())).sub
    ours = Claims(
        iss=ISSUER, sub="a", sid="s", jti="s.1", client_id="c", kind="account", iat=NOW, exp=NOW + 1
    )
    assert ours == read(tokens.sign(ours, KEY).encode())
    assert tokens.sign(ours, KEY) == tokens.sign(ours, KEY)


def hs256_with_the_public_key() -> bytes:
    secret = OctKey.import_key(base64.urlsafe_b64decode(KEY.as_dict()["x"] + "="))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header = {"alg": "HS256", "typ": "at+jwt", "kid": "k-1"}
        return jws.serialize_compact(header, json.dumps(claims()), secret, algorithms=["HS256"]).encode()


T1: Final = {
    "alg none": by_hand({"alg": "none", "typ": "at+jwt", "kid": "k-1"}, claims(), lambda _: b""),
    "alg none, signed": signed(claims(), alg="none"),
    "HS256": hs256_with_the_public_key(),
    "unknown crit": signed(claims(), crit=["x"], x=1),
    "b64": signed(claims(), crit=["b64"], b64=False),
    "another key": signed(claims(), key=OTHER),
    "no signature": signed(claims()).rpartition(b".")[0] + b".",
    "another alg name": signed(claims(), alg="Ed25519"),
}
T2: Final = {
    "kid is a path": signed(claims(), kid="../../etc/passwd"),
    "kid is SQL": signed(claims(), kid="' or 1=1 --"),
    "kid is a list": signed(claims(), kid=["k-1"]),
    "jku": signed(claims(), jku="http://127.0.0.1:9/keys"),
    "x5u": signed(claims(), x5u="http://127.0.0.1:9/chain"),
    "embedded jwk": signed(claims(), key=OTHER, jwk=OTHER.as_dict(private=False)),
    "x5c": signed(claims(), x5c=["MIIB"]),
}
T3: Final = {
    "an ID token": signed(claims(), typ="JWT"),
    "no typ": by_hand({"alg": "EdDSA", "kid": "k-1"}, claims(), KEY.get_op_key("sign").sign),
    "another aud": signed(claims(aud="others")),
    "no aud": signed(claims(aud=None)),
    "another iss": signed(claims(iss="counterfoil:other")),
    "a longer iss": signed(claims(iss=f"{ISSUER}.example.org")),
    "no exp": signed(claims(exp=None)),
    "exp is text": signed(claims(exp="never")),
    "over": signed(claims(exp=NOW - LEEWAY_S)),
    "nbf ahead": signed(claims(nbf=NOW + LEEWAY_S + 1)),
    "iat ahead": signed(claims(iat=NOW + LEEWAY_S + 1)),
    "no sub": signed(claims(sub=None)),
    "no session": signed(claims(sid=None)),
    "a refresh token": b"cfr_0190.1.AAAA",
    "nothing": b"",
    "text": b"a.b.c",
    "four parts": signed(claims()) + b".x",
}


@pytest.mark.parametrize("name", [*T1, *T2, *T3])
def test_t1_t2_t3_a_token_that_is_none_of_ours_is_refused(name):
    with pytest.raises(BadToken):
        read({**T1, **T2, **T3}[name])


def encrypted_and_compressed() -> bytes:
    key = OctKey.import_key(bytes(32))
    header = {"alg": "dir", "enc": "A256GCM", "zip": "DEF"}
    return jwe.encrypt_compact(header, b"0" * 200_000, key).encode()


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(b"a" * 1_000_000, id="1 MB"),
        pytest.param(signed(claims(**{f"c{n}": n for n in range(10_000)})), id="10,000 claims"),
        pytest.param(encrypted_and_compressed(), id="compressed JWE"),
        pytest.param(encoded(b'{"a":' * 1_000) + b".e30.", id="deep"),
    ],
)
def test_t4_a_token_that_is_costly_to_read_is_not_read(token):
    began = time.process_time()
    with pytest.raises(BadToken):
        read(token)

    assert time.process_time() - began < CPU_S_MAX


def test_t4_the_bound_is_that_of_the_row():
    assert 8 * 1024 == TOKEN_BYTES_MAX
    assert LEEWAY_S <= 60


@pytest.mark.parametrize("end", ["denied", "key gone", "over"])
def test_a_header_is_recognised_as_long_as_its_token_is_trusted(end):
    now = [float(NOW)]
    trust, token = Trust(clock=lambda: now[0]), signed(claims())
    trust.issuer, header = ISSUER, b"Bearer " + token
    trust._take(denied=[], keys=[("k-1", PUBLIC.hex())])

    trust.recognise_by(header, token)
    assert trust.recognised(header) is None, "its token was not verified yet"
    principal = trust.trusted(token)
    trust.recognise_by(header, token)
    assert principal is trust.recognised(header)

    match end:
        case "denied":
            trust._take(denied=[("s-1.1", NOW + 600.0)], keys=[("k-1", PUBLIC.hex())])
        case "key gone":
            trust._take(denied=[], keys=[])
        case "over":
            now[0] += 600 + LEEWAY_S
    assert trust.recognised(header) is None


@pytest.mark.anyio
async def test_t1_over_http_every_bad_token_is_answered_alike(shop, caplog):
    with caplog.at_level(logging.DEBUG):
        answers = [
            await shop.get("/v1/events", token.decode("latin-1"))
            for token in [*T1.values(), *T2.values(), *T3.values()]
            if token
        ]

    assert {401} == {answer.status_code for answer in answers}
    assert 1 == len({(answer.json()["detail"], answer.headers["www-authenticate"]) for answer in answers})
    assert 'error="invalid_token"' in answers[0].headers["www-authenticate"]
    in_query = await shop.queries.get(f"/v1/events?access_token={(await shop.session())['access_token']}")
    assert 401 == in_query.status_code
