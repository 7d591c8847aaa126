"""Every route of both APIs asked without a token: 401 everywhere but on this list."""

import re
from typing import Final

import pytest

from runtime.http.principal import Public

pytestmark = pytest.mark.anyio

PUBLIC: Final = {
    "/livez": "probes and metrics, for everybody who can reach the port",
    "/readyz": "probes and metrics, for everybody who can reach the port",
    "/metrics": "probes and metrics, for everybody who can reach the port",
    "/openapi.json": "the description of the API",
    "/docs": "the description of the API",
    "/problems": "the meaning of problems",
    "/problems/{slug}": "the meaning of problems",
    "/v1/sessions": "credentials are what the request is about",
    "/v1/registrations": "who asks for an account or a password has no token",
    "/v1/registrations/completion": "the token of the link is what the request is about",
    "/v1/password-resets": "who asks for an account or a password has no token",
    "/v1/password-resets/completion": "the token of the link is what the request is about",
    "/v1/oidc/{provider}/start": "who logs in has no token yet",
    "/v1/oidc/{provider}/callback": "who logs in has no token yet",
    "/oauth/token": "credentials are what the request is about",
    "/oauth/revoke": "who has a token may have it revoked",
    "/.well-known/jwks.json": "keys that verify are for everybody",
}


async def test_without_a_token_only_public_routes_answer(shop):
    public = {}
    for app, client in ((shop.command_app, shop.commands), (shop.query_app, shop.queries)):
        for method, route in app.pipeline.table:
            if isinstance(route.requires, Public):
                public[route.path] = route.requires.reason
                continue
            answer = await client.request(method, re.sub(r"\{[^}]*\}", "1", route.path))
            assert 401 == answer.status_code, (method, route.path)

    files = {path for path in public if path.startswith("/docs/")}
    assert {path: reason for path, reason in public.items() if path not in files} == PUBLIC
