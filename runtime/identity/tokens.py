"""Access tokens (RFC 9068): what they say, how they are signed, and which are trusted.

JWS in its compact form, signed with Ed25519 (RFC 8037). One algorithm is accepted, and a header of exactly three
members: a token that refers to keys elsewhere, or to extensions, is refused unread.
"""

import base64
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from joserfc import jws
from joserfc.errors import InvalidKeyCurveError, JoseError
from joserfc.jwa import EdDSAAlgorithm
from joserfc.jwk import OKPKey
from joserfc.jws import JWSRegistry
from joserfc.jwt import JWTClaimsRegistry
from msgspec import Struct

from runtime.identity.lifetimes import LEEWAY_S

ALGORITHM: Final = "EdDSA"
"""As gateways know it (RFC 8037). RFC 9864 has a name for each curve, which Envoy 1.40 does not verify."""
TYPE: Final = "at+jwt"
AUDIENCE: Final = "counterfoil"
TOKEN_BYTES_MAX: Final = 8 * 1024
ROLES_MAX: Final = 32

_HEADER_MEMBERS: Final = {"alg", "typ", "kid"}

_encode = msgspec.json.Encoder().encode


class _Ed25519(EdDSAAlgorithm):
    """One curve alone under the name of both, so that the name says as much as the newer ones do."""

    security_warning = ""  # it would be that the name leaves the curve open, which is not so here

    def check_key(self, key: OKPKey) -> None:
        """Refuse a key of another curve."""
        super().check_key(key)
        if key.curve_name != "Ed25519":
            raise InvalidKeyCurveError(f"a key of {key.curve_name}")


_REGISTRY: Final = JWSRegistry(algorithms=[ALGORITHM])
_REGISTRY.algorithms = {ALGORITHM: _Ed25519()}


class BadToken(Exception):
    """A token is not trusted. The text is for our logs, never for the caller."""


class Claims(Struct, frozen=True, kw_only=True):
    """What an access token says.

    `sub` is the account or the service; `sid` the session, or the credential where there is none; `jti` the session and
    the number of the token in it. Times are seconds since 1970.
    """

    iss: str
    sub: str
    sid: str
    jti: str
    client_id: str
    kind: str
    roles: tuple[str, ...] = ()
    scope: str = ""
    iat: int
    exp: int
    aud: str = AUDIENCE


_decoder = msgspec.json.Decoder(Claims)


def issuer_of(installation: str) -> str:
    """What tokens of an installation name as their issuer."""
    return f"counterfoil:{installation}"


def sign(claims: Claims, key: OKPKey) -> str:
    """The token that says so, by a private key with a `kid`. The same claims and key give the same token."""
    header = {"alg": ALGORITHM, "typ": TYPE, "kid": key.kid}
    return jws.serialize_compact(header, _encode(claims), key, registry=_REGISTRY)


def read(token: bytes, keys: Mapping[str, OKPKey], *, issuer: str, now: int) -> Claims:
    """What a token says, once it is trusted.

    Raises:
        BadToken: it is none of ours, or not good now.
    """
    if len(token) > TOKEN_BYTES_MAX:
        raise BadToken("it is too long")
    try:
        compact = jws.extract_compact(token)
        _verify(compact, keys)
        claims = msgspec.json.decode(compact.payload, type=dict[str, Any])
        _registry(issuer, now).validate(claims)
        return _decoder.decode(compact.payload)
    except (
        JoseError,
        ValueError,
        msgspec.MsgspecError,
    ) as error:  # ValueError: base64 and texts that are none
        raise BadToken(f"{type(error).__name__}: {error}") from error


def _verify(compact: jws.CompactSignature, keys: Mapping[str, OKPKey]) -> None:
    header = compact.headers()
    if header.keys() != _HEADER_MEMBERS or header["alg"] != ALGORITHM or header["typ"] != TYPE:
        raise BadToken(f"its header has {sorted(map(str, header))}")
    key = keys.get(header["kid"]) if isinstance(header["kid"], str) else None
    if key is None:
        raise BadToken("its key is unknown")
    if not jws.validate_compact(compact, key, registry=_REGISTRY):
        raise BadToken("its signature is wrong")


def _registry(issuer: str, now: int) -> JWTClaimsRegistry:
    return JWTClaimsRegistry(
        now=now,
        leeway=LEEWAY_S,
        iss={"essential": True, "value": issuer},
        aud={"essential": True, "value": AUDIENCE},
        sub={"essential": True},
        exp={"essential": True},
        iat={"essential": True},
    )


def kid_of(token: bytes) -> str:
    """The key that a token names, which was read before."""
    return str(jws.extract_compact(token).headers()["kid"])


def base64url(raw: bytes) -> str:
    """Bytes as JOSE writes them."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
