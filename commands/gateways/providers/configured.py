"""The providers that the settings name."""

import contextlib
from collections.abc import AsyncIterator
from typing import Final

from commands.gateways.providers import http_calls
from commands.gateways.providers.facebook import Facebook
from commands.gateways.providers.oidc import Client, OpenIdProvider
from commands.identity.providers import Provider, Providers
from runtime.settings import Settings

GOOGLE: Final = "https://accounts.google.com"


@contextlib.asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Providers]:
    """Each provider by its name in our addresses; nobody is called yet."""
    found: dict[str, Provider] = {}
    async with http_calls.opened() as http:
        for name, issuer, client_id, secret in (
            ("google", GOOGLE, settings.google_client_id, settings.google_client_secret),
            ("oidc", settings.oidc_issuer, settings.oidc_client_id, settings.oidc_client_secret),
        ):
            if client_id is not None:
                assert issuer is not None, "settings of a provider are whole"
                assert secret is not None, "settings of a provider are whole"
                known = Client(
                    issuer=issuer,
                    client_id=client_id,
                    client_secret=secret.get_secret_value(),
                    redirect_uri=redirect_uri(settings, name),
                )
                found[name] = OpenIdProvider(http, known)
        if settings.facebook_client_id is not None:
            assert settings.facebook_client_secret is not None, "settings of a provider are whole"
            found["facebook"] = Facebook(
                http=http,
                client_id=settings.facebook_client_id,
                client_secret=settings.facebook_client_secret.get_secret_value(),
                redirect_uri=redirect_uri(settings, "facebook"),
            )
        yield found


def redirect_uri(settings: Settings, provider: str) -> str:
    """Where a provider sends browsers back to, as it has to be registered there."""
    assert settings.login_url is not None, "settings of a provider are whole"
    return f"{settings.login_url.rstrip('/')}/{provider}/callback"
