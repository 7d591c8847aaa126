"""OpenID Connect: the authorization code flow with PKCE (S256), as a relying party.

The provider's document says where it is asked; it has to name the very issuer that the settings name. An ID token is
accepted if it is signed by a key of that issuer, is for us, is fresh, and answers the nonce of this login.
"""

import time
from typing import Any, Final

import httpx
from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.client import OAuth2Client
from authlib.oauth2.rfc6749.parameters import prepare_token_request
from authlib.oidc.core import CodeIDToken
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from msgspec import Struct

from commands.gateways.providers import http_calls as calls
from commands.identity.providers import Asserted, Challenge, ProviderRefused, ProviderUnreachable

DISCOVERY: Final = "/.well-known/openid-configuration"
ALGORITHMS: Final = ("RS256", "PS256", "ES256", "EdDSA", "Ed25519")
"""Signatures by keys that are public; never none, never one with a shared secret."""

LEEWAY_S: Final = 60
KEPT_S: Final = 300.0
"""How long a provider's document and keys are kept."""

REFETCHED_AFTER_S: Final = 1.0
"""How soon keys are fetched again at the earliest, for a token that none of those kept has signed."""

SCOPE: Final = "openid email"
_FORM: Final = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}


class Client(Struct, frozen=True, kw_only=True):
    """What a provider knows us by."""

    issuer: str
    client_id: str
    client_secret: str
    redirect_uri: str


class _Kept(Struct):
    document: dict[str, Any]
    keys: KeySet
    fetched_s: float


class OpenIdProvider:
    """A provider that publishes its document."""

    def __init__(self, http: httpx.AsyncClient, client: Client) -> None:
        self._http = http
        self._client = client
        self._kept: _Kept | None = None

    async def authorization_url(self, challenge: Challenge) -> str:
        """See `Provider`."""
        kept = await self._current()
        client = OAuth2Client(
            None,
            client_id=self._client.client_id,
            redirect_uri=self._client.redirect_uri,
            scope=SCOPE,
            code_challenge_method="S256",
        )
        url, _ = client.create_authorization_url(
            kept.document["authorization_endpoint"],
            state=challenge.state,
            nonce=challenge.nonce,
            code_verifier=challenge.code_verifier,
        )
        return str(url)

    async def assert_identity(self, code: str, challenge: Challenge, *, issuer: str | None) -> Asserted:
        """See `Provider`."""
        kept = await self._current()
        if issuer is None and kept.document.get("authorization_response_iss_parameter_supported") is True:
            raise ProviderRefused("the answer names no issuer")
        if issuer is not None and issuer != self._client.issuer:
            raise ProviderRefused("the answer comes from another issuer")
        token = await self._exchanged(kept.document, code, challenge)
        claims = await self._claims(token, challenge)
        verified = claims.get("email_verified") is True and isinstance(claims.get("email"), str)
        return Asserted(
            issuer=self._client.issuer,
            subject=str(claims["sub"]),
            email=claims["email"] if verified else None,
        )

    async def _exchanged(self, document: dict[str, Any], code: str, challenge: Challenge) -> dict[str, Any]:
        """The tokens for a code.

        Raises:
            ProviderError: there are none.
        """
        client = self._client
        body = prepare_token_request(
            "authorization_code",
            redirect_uri=client.redirect_uri,
            code=code,
            code_verifier=challenge.code_verifier,
        )
        offered = document.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        method = "client_secret_basic" if "client_secret_basic" in offered else "client_secret_post"
        url, headers, body = ClientAuth(client.client_id, client.client_secret, method).prepare(
            "POST", document["token_endpoint"], dict(_FORM), body
        )
        status, answer = await calls.call(self._http, "POST", url, headers=headers, body=body)
        if status != 200:
            raise ProviderRefused(f"the code is refused: {status}")
        if not isinstance(answer.get("id_token"), str):
            raise ProviderRefused("the answer has no ID token")
        return answer

    async def _claims(self, answer: dict[str, Any], challenge: Challenge) -> CodeIDToken:
        """What an ID token says, if it is one of this provider for this login.

        Raises:
            ProviderError: it is not, or the keys cannot be fetched.
        """
        client, token = self._client, answer["id_token"]
        try:
            header = jws.extract_compact(token.encode()).headers()
            keys = await self._keys(header.get("kid"))
            decoded = jwt.decode(token, keys, algorithms=list(ALGORITHMS))
            claims = CodeIDToken(
                decoded.claims,
                decoded.header,
                options={
                    "iss": {"essential": True, "value": client.issuer},
                    "aud": {"essential": True, "value": client.client_id},
                    "sub": {"essential": True},
                },
                params={
                    "nonce": challenge.nonce,
                    "client_id": client.client_id,
                    "access_token": answer.get("access_token"),
                },
            )
            claims.validate(now=int(time.time()), leeway=LEEWAY_S)
        except (JoseError, ValueError) as error:
            # Of these texts some repeat what the token says; the kind of the error is enough for a log.
            raise ProviderRefused(f"the ID token is not accepted: {type(error).__name__}") from None
        return claims

    async def _keys(self, kid: object) -> KeySet:
        """The provider's keys, fetched again if none of those kept is the one: it may have been rotated just now."""
        kept = await self._current()
        if (
            kid in {key.kid for key in kept.keys.keys}
            or time.monotonic() - kept.fetched_s < REFETCHED_AFTER_S
        ):
            return kept.keys
        return (await self._fetched()).keys

    async def _current(self) -> _Kept:
        if self._kept is None or time.monotonic() - self._kept.fetched_s > KEPT_S:
            return await self._fetched()
        return self._kept

    async def _fetched(self) -> _Kept:
        """The provider's document and keys, as they are now.

        Raises:
            ProviderUnreachable: they cannot be had, or are those of another issuer.
        """
        status, document = await calls.call(self._http, "GET", self._client.issuer.rstrip("/") + DISCOVERY)
        if status != 200 or document.get("issuer") != self._client.issuer:
            raise ProviderUnreachable("the provider's document names another issuer")
        addresses = ("authorization_endpoint", "token_endpoint", "jwks_uri")
        if not all(calls.is_safe(document.get(name)) for name in addresses):
            raise ProviderUnreachable(
                "the provider's document lacks an address, or has one that is not https"
            )
        status, found = await calls.call(self._http, "GET", document["jwks_uri"])
        try:
            keys = KeySet.import_key_set(found)  # type: ignore[arg-type]  # what is no key set is refused
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise ProviderUnreachable("the provider's keys cannot be read") from error
        self._kept = _Kept(document, keys, time.monotonic())
        return self._kept
