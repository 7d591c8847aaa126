"""Accounts, sessions, roles, programs, providers and links, in an installation whose callers log in."""

import re
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import httpx

from commands.identity.provider_routes import COOKIE
from tests.upgrade.history import customers
from tests.upgrade.installation import Installation, Sent

OWNER: Final = {"email": "owner@example.org", "password": "correct horse battery"}
OTHER_PASSWORD: Final = "staple and a candle"
REVEALER: Final = "crm"
"""The program that personal data is shown to."""

_LOCKED: Final = ("locked", "unlocked")


def begin(on: Installation) -> None:
    """Have an owner by whom everything is sent from now on."""
    password = on.home / "password"
    password.write_text(OWNER["password"])
    on.run("account", "create-owner", "--email", OWNER["email"], "--password-file", str(password))
    on.token = log_in(on, OWNER)["access_token"]


def log_in(on: Installation, known: dict[str, str]) -> dict[str, Any]:
    """The tokens of a new session."""
    answer = on.ask("POST", "/v1/sessions", json={**known, "client_id": "shop"})
    assert answer.status_code == 201, answer.text
    tokens: dict[str, Any] = answer.json()
    return tokens


def bearer(token: str) -> dict[str, str]:
    """The header that carries a token."""
    return {"Authorization": f"Bearer {token}"}


def fill(on: Installation) -> None:
    """Everything that happens to accounts."""
    _staff(on)
    _sessions(on)
    _registration(on)
    _provider(on)
    on.run("identity", "rotate-key", "--reason", "for the dump")
    on.shows("/v1/accounts", *(f"/v1/accounts/{name}" for name in ("clerk", "unlocked", "locked")))


def register(on: Installation, name: str, *roles: str) -> dict[str, str]:
    """Register an account; by which it logs in."""
    known = {"email": f"{name}@example.com", "password": OWNER["password"]}
    on.send(Sent(f"account-{name}", "/v1/accounts", {"account_id": name, "roles": list(roles), **known}))
    return known


def _staff(on: Installation) -> None:
    register(on, "clerk", "warehouse")
    on.send(Sent("grant", "/v1/accounts/clerk/roles", {"role": "finance"}))
    on.send(Sent("revoke", "/v1/accounts/clerk/roles/finance/revocation", {}))
    for name in _LOCKED:
        register(on, name, "support")
        on.send(Sent(f"lock-{name}", f"/v1/accounts/{name}/lock", {}))
    on.send(Sent("unlock", "/v1/accounts/unlocked/unlock", {}))
    program = {"client_id": REVEALER, "name": "CRM", "scopes": ["customers:read", "personal:reveal"]}
    issued = _post(on, "/v1/clients", program, key="program")
    another = _post(on, f"/v1/clients/{REVEALER}/keys", {}, key="another-key")
    revoked = f"/v1/clients/{REVEALER}/keys/{another['credential_id']}/revocation"
    assert on.ask("POST", revoked, json={}, headers={"Idempotency-Key": "no-key"}).status_code == 204
    shown = on.read(f"/v1/customers/{customers.ADA}", **bearer(issued["secret"]))
    assert shown.status_code == 200, shown.text


def _sessions(on: Installation) -> None:
    clerk = {"email": "clerk@example.com", "password": OWNER["password"]}
    tokens = log_in(on, clerk)
    changed = {"current": clerk["password"], "new": OTHER_PASSWORD}
    path, own = "/v1/accounts/clerk/password", bearer(tokens["access_token"])
    answer = on.ask("POST", path, json=changed, headers={**own, "Idempotency-Key": "password"})
    assert answer.status_code == 201, answer.text
    tokens = log_in(on, {**clerk, "password": OTHER_PASSWORD})
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    # Another program that has the token is another party: the session ends.
    assert on.ask("POST", "/oauth/token", data={**form, "client_id": "thief"}).status_code == 400
    tokens = log_in(on, {**clerk, "password": OTHER_PASSWORD})
    path, own = f"/v1/sessions/{tokens['session_id']}/revocation", bearer(tokens["access_token"])
    assert on.ask("POST", path, headers=own).status_code == 204


def _registration(on: Installation) -> None:
    """An account that registers by itself, resets its password, and is erased as a customer."""
    email = "leaver@example.net"
    on.ask("POST", "/v1/registrations", json={"email": email})
    token = on.parties.link_to(email)
    chosen = {"token": token, "password": OWNER["password"]}
    account_id = _post(on, "/v1/registrations/completion", chosen)["account_id"]
    on.send(Sent("pause-mails", "/v1/operations/consumers/sender-mail/pauses", {"reason": "for the dump"}))
    for _ in range(2):  # the second link takes the place of the first, whose mail was not sent yet
        on.ask("POST", "/v1/password-resets", json={"email": email})
    on.wait_for_event("mail.mail_requested.v1", count=3)
    on.send(Sent("resume-mails", "/v1/operations/consumers/sender-mail/resumptions", {}))
    chosen = {"token": on.parties.link_to(email, before=1), "password": OTHER_PASSWORD}
    assert on.ask("POST", "/v1/password-resets/completion", json=chosen).status_code == 204
    on.wait_for_event("mail.mail_suppressed.v1")
    customers.register(on, account_id, has_account=True)
    on.send(Sent("erase-leaver", f"/v1/customers/{account_id}/erasure", {}))
    on.wait_for_event("identity.account_closed.v1", f"account-{account_id}")
    on.shows(f"/v1/customers/{account_id}", f"/v1/accounts/{account_id}")


def _provider(on: Installation) -> None:
    """The owner links a provider, logs in by it, and unlinks it again."""
    account_id = log_in(on, OWNER)["account_id"]
    asked = on.ask("POST", "/v1/oidc/oidc/link", json={"password": OWNER["password"]})
    assert asked.status_code == 200, asked.text
    (kept,) = re.findall(rf"{COOKIE}=([^;]+)", asked.headers["set-cookie"])
    browser = httpx.get(asked.json()["authorization_url"], timeout=60)
    given = dict(parse_qsl(urlsplit(browser.headers["location"]).query))
    linked = on.ask("GET", "/v1/oidc/oidc/callback", params=given, headers={"Cookie": f"{COOKIE}={kept}"})
    assert linked.status_code == 200, linked.text
    # Not kept: whenever it is sent, it ends the sessions that the account has then.
    _post(on, f"/v1/accounts/{account_id}/providers/oidc/revocation", {}, key="unlink")
    on.token = log_in(on, OWNER)["access_token"]
    on.shows(f"/v1/accounts/{account_id}")


def _post(on: Installation, path: str, body: dict[str, Any], *, key: str | None = None) -> dict[str, Any]:
    """What a route answers of which nothing is repeated."""
    headers = {} if key is None else {"Idempotency-Key": key}
    answer = on.ask("POST", path, json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found
