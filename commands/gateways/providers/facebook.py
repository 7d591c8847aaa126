"""Facebook: OAuth 2 with PKCE, and `/me` for who it is, since there is no ID token in this flow.

Written after its documentation and tested against a stub of the shapes there, never against the real one. It does not
say that it verified an address, so none is taken over.
"""

from typing import Final

import httpx
from authlib.oauth2.client import OAuth2Client
from authlib.oauth2.rfc6749.parameters import prepare_token_request
from msgspec import Struct

from commands.gateways.providers import http_calls as calls
from commands.identity.providers import Asserted, Challenge, ProviderRefused

ISSUER: Final = "https://www.facebook.com"
VERSION: Final = "v24.0"
_FORM: Final = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}


class Facebook(Struct, frozen=True, kw_only=True):
    """The provider. `dialog` and `graph` are where its pages and its interface are."""

    http: httpx.AsyncClient
    client_id: str
    client_secret: str
    redirect_uri: str
    dialog: str = f"https://www.facebook.com/{VERSION}/dialog/oauth"
    graph: str = f"https://graph.facebook.com/{VERSION}"

    async def authorization_url(self, challenge: Challenge) -> str:
        """See `Provider`."""
        client = OAuth2Client(
            None,
            client_id=self.client_id,
            redirect_uri=self.redirect_uri,
            scope="public_profile",
            code_challenge_method="S256",
        )
        url, _ = client.create_authorization_url(
            self.dialog, state=challenge.state, code_verifier=challenge.code_verifier
        )
        return str(url)

    async def assert_identity(self, code: str, challenge: Challenge, *, issuer: str | None) -> Asserted:
        """See `Provider`."""
        if issuer is not None:
            raise ProviderRefused("the answer comes from another issuer")
        body = prepare_token_request(
            "authorization_code",
            redirect_uri=self.redirect_uri,
            code=code,
            code_verifier=challenge.code_verifier,
            client_id=self.client_id,
            client_secret=self.client_secret,
        )
        url = f"{self.graph}/oauth/access_token"
        status, answer = await calls.call(self.http, "POST", url, headers=_FORM, body=body)
        token = answer.get("access_token")
        if status != 200 or not isinstance(token, str):
            raise ProviderRefused(f"the code is refused: {status}")
        headers = {"Authorization": f"Bearer {token}"}
        status, found = await calls.call(
            self.http, "GET", f"{self.graph}/me", headers=headers, params={"fields": "id"}
        )
        subject = found.get("id")
        if status != 200 or not isinstance(subject, str) or not subject:
            raise ProviderRefused(f"the profile is refused: {status}")
        return Asserted(issuer=ISSUER, subject=subject, email=None)
