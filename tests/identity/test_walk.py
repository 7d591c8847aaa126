"""Every route of both APIs asked without a token, over sockets: 401 everywhere but on the list, which is printed."""

import json
from typing import Final

import pytest

from counterfoil import applications
from counterfoil.contexts import CONTEXTS
from runtime.http.principal import Browsable, Public
from tests.counterfoil.test_deny_walk import addresses_of, answers, request, running

PUBLIC: Final = {
    "/livez": "probes and metrics, for everybody who can reach the port",
    "/readyz": "probes and metrics, for everybody who can reach the port",
    "/metrics": "probes and metrics, for everybody who can reach the port",
    "/openapi.json": "the description of the API",
    "/docs": "the description of the API",
    "/problems": "the meaning of problems",
    "/problems/{slug}": "the meaning of problems",
    "/v1/sessions": "the request carries credentials",
    "/v1/registrations": "a caller without an account or a password has no token",
    "/v1/registrations/completion": "the token of the link is the credential",
    "/v1/payment-webhooks": "the signature of the webhook is the credential",
    "/v1/password-resets": "a caller without an account or a password has no token",
    "/v1/password-resets/completion": "the token of the link is the credential",
    "/v1/guest-tokens": "a guest has no token yet",
    "/v1/oidc/{provider}/start": "a caller who logs in has no token yet",
    "/v1/oidc/{provider}/callback": "a caller who logs in has no token yet",
    "/oauth/token": "the request carries credentials",
    "/oauth/revoke": "the holder of a token may revoke it",
    "/v1/media/{name}": "pictures and static files are shown to everybody who is shown a page",
    "/v1/product-search": "products are found by everybody",
    "/v1/products/{sku}": "pages of products are shown to everybody",
    "/.well-known/jwks.json": "public keys are for everybody who verifies tokens",
}
APIS: Final = {"commands": applications.command_app, "queries": applications.query_app}
BODY: Final = json.dumps({"commands": []}).encode()


@pytest.mark.parametrize("api", APIS)
def test_without_a_token_only_public_routes_answer(api, with_accounts):
    app = APIS[api](with_accounts, contexts=CONTEXTS)
    walked = [
        (method, address)
        for (method, route), (_, address) in zip(app.pipeline.table, addresses_of(app), strict=False)
        if not isinstance(route.requires, Public | Browsable)
    ]
    with running(app) as port:
        for method, address in walked:
            refused = (401, None if method == "HEAD" else "unauthenticated", "walk")
            whole = request(method, address, body=BODY)
            asked = request(method, f"{address}?x=1", body=BODY)
            assert [refused] * 2 == answers(port, whole, asked, methods=[method] * 2), (method, address)
            assert [refused] == answers(port, whole[:-3], whole[-3:], methods=[method]), (method, address)
        pipelined = b"".join(request(method, address, body=BODY) for method, address in walked)
        together = answers(port, pipelined, methods=[method for method, _ in walked])

    assert {401} == {status for status, _, _ in together}
    assert len(walked) > 20


def test_the_list_of_public_routes_is_whole(with_accounts, capsys):
    public = {
        route.path: route.requires.reason
        for make in APIS.values()
        for _, route in make(with_accounts, contexts=CONTEXTS).pipeline.table
        if isinstance(route.requires, Public | Browsable) and not route.path.startswith("/docs/")
    }
    with capsys.disabled():
        print(
            "\nneeds no token:", *(f"  {path}: {reason}" for path, reason in sorted(public.items())), sep="\n"
        )

    assert PUBLIC == public
