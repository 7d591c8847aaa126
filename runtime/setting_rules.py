"""What can be wrong with settings: variables that are none, and what is set without, or against, another."""

import difflib
import re
import zoneinfo
from collections.abc import Collection
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from runtime.settings import Settings

PREFIX: Final = "COUNTERFOIL_"

# What Kubernetes injects into every container, for each service of the namespace that has an address.
_SERVICE_VARIABLE: Final = re.compile(
    r"\w+_(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)", re.ASCII
)
_SERVICE_ADDRESS: Final = re.compile(r"(?:tcp|udp|sctp)://\S+:\d+", re.ASCII)


def require(settings: "Settings") -> None:
    """Refuse settings of which one is nothing without another.

    Raises:
        ValueError: that names both.
    """
    _kafka_security_is_whole(settings)
    _keys_are_elsewhere(settings)
    _required_witnesses_are_listed(settings)
    _a_token_is_for_a_carrier(settings)
    _a_token_is_for_a_provider(settings)
    _providers_are_whole(settings)
    _mail_is_whole(settings)
    _tls_has_a_certificate(settings)
    _time_zone_exists(settings)


def _kafka_security_is_whole(settings: "Settings") -> None:
    if (settings.kafka_user is None) != (settings.kafka_password is None):
        raise ValueError(f"{PREFIX}KAFKA_USER and {PREFIX}KAFKA_PASSWORD belong together: set both or none")
    if settings.kafka_ca is not None and not settings.kafka_tls:
        raise ValueError(f"{PREFIX}KAFKA_CA is only used with {PREFIX}KAFKA_TLS=true")
    if (settings.kafka_tls or settings.kafka_user is not None) and settings.kafka_bootstrap is None:
        raise ValueError(
            f"{PREFIX}KAFKA_TLS and {PREFIX}KAFKA_USER are for the Kafka at {PREFIX}KAFKA_BOOTSTRAP: set that too"
        )


def _keys_are_elsewhere(settings: "Settings") -> None:
    if settings.keys_database_url is not None and settings.keys_database_url == settings.database_url:
        raise ValueError(
            f"{PREFIX}KEYS_DATABASE_URL is the log's database: keys have to be in another one, since backups of the"
            " log are kept"
        )


def _required_witnesses_are_listed(settings: "Settings") -> None:
    listed = len(settings.witnesses.split(",")) if settings.witnesses else 0
    if settings.require_witness > listed:
        raise ValueError(
            f"{PREFIX}REQUIRE_WITNESS is {settings.require_witness}, and {PREFIX}WITNESSES lists {listed} witnesses"
        )


def _a_token_is_for_a_carrier(settings: "Settings") -> None:
    if settings.carrier_token is not None and settings.carrier_url is None:
        raise ValueError(f"{PREFIX}CARRIER_TOKEN is for the carrier at {PREFIX}CARRIER_URL: set that too")


def _a_token_is_for_a_provider(settings: "Settings") -> None:
    if (
        settings.payment_token is not None
        and settings.payment_url is None
        and settings.payment_provider != "stripe"
    ):
        raise ValueError(f"{PREFIX}PAYMENT_TOKEN is for the provider at {PREFIX}PAYMENT_URL: set that too")


def _providers_are_whole(settings: "Settings") -> None:
    given = {
        "GOOGLE": (settings.google_client_id, settings.google_client_secret),
        "OIDC": (settings.oidc_client_id, settings.oidc_client_secret, settings.oidc_issuer),
        "FACEBOOK": (settings.facebook_client_id, settings.facebook_client_secret),
    }
    for name, parts in given.items():
        if len({part is None for part in parts}) > 1:
            raise ValueError(f"{PREFIX}{name}_*: set all settings of the provider or none")
        if parts[0] is not None and settings.login_url is None:
            raise ValueError(f"{PREFIX}{name}_CLIENT_ID needs {PREFIX}LOGIN_URL: set that too")


def _mail_is_whole(settings: "Settings") -> None:
    given = [
        name
        for name in type(settings).model_fields
        if name.startswith("mail_") and name in settings.model_fields_set
    ]
    if settings.mail_host is None and given:
        raise ValueError(
            f"{PREFIX}{given[0].upper()} is for the mail server at {PREFIX}MAIL_HOST: set that too"
        )
    if settings.mail_host is not None and (settings.mail_from is None or settings.mail_links is None):
        raise ValueError(f"{PREFIX}MAIL_HOST needs {PREFIX}MAIL_FROM and {PREFIX}MAIL_LINKS: set them too")
    if (settings.mail_user is None) != (settings.mail_password is None):
        raise ValueError(f"{PREFIX}MAIL_USER and {PREFIX}MAIL_PASSWORD belong together: set both or none")
    if settings.mail_user is not None and settings.mail_tls == "none":
        raise ValueError(f"{PREFIX}MAIL_PASSWORD is not sent unencrypted: set {PREFIX}MAIL_TLS otherwise")


def _tls_has_a_certificate(settings: "Settings") -> None:
    if settings.tls_certificate is None:
        for name in ("tls_key", "tls_clients"):
            if getattr(settings, name) is not None:
                raise ValueError(f"{PREFIX}{name.upper()} is for {PREFIX}TLS_CERTIFICATE: set that too")


def _time_zone_exists(settings: "Settings") -> None:
    if "time_zone" not in settings.model_fields_set:
        return
    try:
        zoneinfo.ZoneInfo(settings.time_zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"{PREFIX}TIME_ZONE is no time zone that this machine knows; one is called like Europe/London"
        ) from None


def is_injected(variable: str, value: object) -> bool:
    """Whether Kubernetes made this variable for a service. `<SERVICE>_PORT` is known by its value: an address."""
    if variable.endswith("_PORT") and _SERVICE_ADDRESS.fullmatch(str(value)):
        return True
    return _SERVICE_VARIABLE.fullmatch(variable) is not None


def unknown(variable: str, known: Collection[str]) -> str:
    """What is said of a variable that is no setting."""
    nearest = difflib.get_close_matches(variable.upper(), sorted(known), n=1, cutoff=0.0)
    return f"{variable} is not a setting; the nearest one is {nearest[0]}"


def explain(location: tuple[int | str, ...], message: str) -> str:
    """What is said of a value that cannot be."""
    text = message.removeprefix("Value error, ")
    return f"{PREFIX}{str(location[0]).upper()}: {text}" if location else text
