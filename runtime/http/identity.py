"""How callers are authenticated, as the settings say."""

from collections.abc import Awaitable, Callable

from runtime.http.exchange import Exchange
from runtime.http.principal import ANONYMOUS, Principal
from runtime.settings import Settings, SettingsError


def authenticator(settings: Settings) -> Callable[[Exchange], Awaitable[Principal]]:
    """The step of the pipeline that names the principal of a request.

    Raises:
        SettingsError: a production installation has to say who its callers are.
    """
    if settings.identity is None and settings.profile == "production":
        raise SettingsError(
            "COUNTERFOIL_IDENTITY: the production profile needs it; `anonymous` means that every caller may do"
            " everything, so something in front of the APIs has to authenticate them"
        )
    return _anonymously


def recogniser(_settings: Settings) -> Callable[[Exchange], Principal | None]:
    """The same step where nothing may be waited for."""
    return lambda _exchange: ANONYMOUS


async def _anonymously(_exchange: Exchange) -> Principal:
    return ANONYMOUS
