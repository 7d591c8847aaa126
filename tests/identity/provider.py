# ruff: noqa: ARG002, C901 - methods and arguments are those of the library
"""An OpenID provider of ours, on Authlib's server side, that does wrong what a test tells it to.

`errs` is what it does wrong: `nonce`, `issuer`, `audience`, `expired`, `unsigned`, `shared secret`, `stranger's key`,
`another document`, `silent`; `code twice`: it answers a code a second time. `rotate()` changes its key.
"""

import contextlib
import secrets
import time

import flask
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin, grants
from authlib.oauth2.rfc6749.models import AuthorizationCodeMixin
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core import OpenIDCode, UserInfo
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from oidc_provider_mock._server import _threaded_server
from pydantic import SecretStr

CLIENT_ID, CLIENT_SECRET = "shop", "a-secret-of-the-shop"
LOGIN_URL = "http://shop.example/v1/oidc"


class Client(ClientMixin):
    """The only client."""

    def __init__(self, redirect_uri):
        self.redirect_uri = redirect_uri

    def get_client_id(self):
        return CLIENT_ID

    def get_default_redirect_uri(self):
        return self.redirect_uri

    def get_allowed_scope(self, scope):
        return scope

    def check_redirect_uri(self, redirect_uri):
        return redirect_uri == self.redirect_uri

    def check_client_secret(self, client_secret):
        return client_secret == CLIENT_SECRET

    def check_endpoint_auth_method(self, method, endpoint):
        return method == "client_secret_basic"

    def check_response_type(self, response_type):
        return response_type == "code"

    def check_grant_type(self, grant_type):
        return grant_type == "authorization_code"


class Code(AuthorizationCodeMixin):
    """A code, and what it was given for."""

    def __init__(self, request, user):
        payload = request.payload
        self.code = secrets.token_urlsafe()
        self.user = user
        self.redirect_uri = payload.redirect_uri
        self.scope = payload.scope
        self.nonce = payload.data.get("nonce")
        self.code_challenge = payload.data.get("code_challenge")
        self.code_challenge_method = payload.data.get("code_challenge_method")
        self.given_at = time.time()

    def get_redirect_uri(self):
        return self.redirect_uri

    def get_scope(self):
        return self.scope

    def get_nonce(self):
        return self.nonce

    def get_auth_time(self):
        return int(self.given_at)

    def get_acr(self):
        return None

    def get_amr(self):
        return None


class Provider:
    """What it knows, and what it does wrong."""

    def __init__(self, redirect_uri):
        self.client = Client(redirect_uri)
        self.errs = ""
        self.claims = {"email": "ada@example.org", "email_verified": True}
        self.codes = {}
        self.asked = []
        self.issuer = ""
        self.keys = []
        self.rotate()

    def rotate(self):
        """Sign with a new key; the one before is not published any more."""
        self.keys = [RSAKey.generate_key(2048, {"kid": secrets.token_hex(8)})]

    def id_token(self, token):
        """What the grant made, spoiled."""
        if "id_token" not in token:
            return token
        claims = jwt.decode(token["id_token"], self.keys[0]).claims
        claims |= {
            "nonce": {"nonce": "another"},
            "issuer": {"iss": "https://evil.example"},
            "audience": {"aud": ["another"]},
            "expired": {"exp": int(time.time()) - 3600},
        }.get(self.errs, {})
        key, header = self.keys[0], {"alg": "RS256", "kid": self.keys[0].kid}
        if self.errs == "stranger's key":
            key = RSAKey.generate_key(2048, {"kid": key.kid})
        if self.errs == "shared secret":
            key, header = (
                OctKey.import_key(CLIENT_SECRET * 2, {"kid": key.kid}),
                {"alg": "HS256", "kid": key.kid},
            )
        made = jwt.encode(header, claims, key)
        if self.errs == "unsigned":
            made = f"eyJhbGciOiJub25lIn0.{made.split('.')[1]}."
        return {**token, "id_token": made}


def open_id(provider):
    """What is said in ID tokens."""

    class OpenId(OpenIDCode):
        def exists_nonce(self, nonce, request):
            return False

        def resolve_client_private_key(self, client):
            return provider.keys[0]

        def get_client_claims(self, client):
            return {"iss": provider.issuer, "aud": [CLIENT_ID]}

        def get_encode_header(self, client):
            return {"alg": "RS256", "kid": provider.keys[0].kid}

        def generate_user_info(self, user, scope):
            return UserInfo(sub=user, **provider.claims)

    return OpenId


def application(provider):
    """The provider as a web application."""
    app = flask.Flask("provider")
    server = AuthorizationServer(app, query_client=lambda _id: provider.client, save_token=lambda *_: None)

    class Grant(grants.AuthorizationCodeGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic"]  # noqa: RUF012 - a name of the library

        def save_authorization_code(self, code, request):
            kept = Code(request, request.user)
            kept.code = code
            provider.codes[code] = kept

        def query_authorization_code(self, code, client):
            found = provider.codes.get(code)
            return None if found is None or time.time() - found.given_at > 60 else found

        def delete_authorization_code(self, authorization_code):
            if provider.errs != "code twice":
                provider.codes.pop(authorization_code.code, None)

        def authenticate_user(self, authorization_code):
            return authorization_code.user

    server.register_grant(Grant, [open_id(provider)(require_nonce=True), CodeChallenge(required=True)])

    @app.before_request
    def asked():
        provider.asked.append(flask.request.path)
        if provider.errs == "silent":
            flask.abort(503)

    @app.get("/.well-known/openid-configuration")
    def document():
        return {
            "issuer": "https://evil.example" if provider.errs == "another document" else provider.issuer,
            "authorization_endpoint": f"{provider.issuer}/authorize",
            "token_endpoint": f"{provider.issuer}/token",
            "jwks_uri": f"{provider.issuer}/keys",
        }

    @app.get("/keys")
    def keys():
        return {"keys": [key.as_dict(private=False) for key in provider.keys]}

    @app.get("/authorize")
    def authorize():
        grant = server.get_consent_grant(end_user="a-subject")
        return server.create_authorization_response(grant=grant, grant_user="a-subject")

    @app.post("/token")
    def token():
        response = server.create_token_response()
        if response.status_code == 200:
            return provider.id_token(response.get_json())
        return response

    return app


@contextlib.contextmanager
def running(redirect_uri):
    """The provider in a thread while the block runs."""
    provider = Provider(redirect_uri)
    with _threaded_server(app=application(provider), poll_interval=0.01) as server:
        provider.issuer = f"http://localhost:{server.server_port}"
        yield provider


def with_provider(settings, issuer, *, client_id=CLIENT_ID, client_secret=CLIENT_SECRET):
    changes = {
        "login_url": LOGIN_URL,
        "oidc_issuer": issuer,
        "oidc_client_id": client_id,
        "oidc_client_secret": SecretStr(client_secret),
        "google_client_id": "google",
        "google_client_secret": SecretStr("google"),
    }
    return settings.model_copy(update=changes)
