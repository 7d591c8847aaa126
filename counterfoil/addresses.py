"""Where the servers and APIs are: from the environment, else from the `up` that runs in the home directory."""

from pydantic import SecretStr

from counterfoil import runfile
from counterfoil.runfile import Addresses
from event_store.transport.kafka_security import Security
from runtime.settings import Settings


class NoAddress(Exception):
    """A command needs a server or an API, and neither the environment nor a running `up` names one."""

    def __init__(self, what: str, *, variable: str, home: object) -> None:
        super().__init__(
            f"no address of {what}: nothing runs in {home}; start `counterfoil up` there, or set {variable}"
        )


def resolve(settings: Settings) -> Addresses:
    """Everything that is known. The environment wins over the state file, one by one."""
    running = runfile.read(settings.home)
    found = running.addresses if running is not None else Addresses()
    return Addresses(
        database_url=_secret(settings.database_url) or found.database_url,
        redis_url=_secret(settings.redis_url) or found.redis_url,
        kafka_bootstrap=settings.kafka_bootstrap or found.kafka_bootstrap,
        command_api=found.command_api or f"http://{settings.command_api_host}:{settings.command_api_port}",
        query_api=found.query_api or f"http://{settings.query_api_host}:{settings.query_api_port}",
        keys_database_url=_secret(settings.keys_database_url) or found.keys_database_url,
    )


def database_url(settings: Settings) -> str:
    """The address of the log's database.

    Raises:
        NoAddress: nobody names one.
    """
    url = resolve(settings).database_url
    if url is None:
        raise NoAddress("Postgres", variable="COUNTERFOIL_DATABASE_URL", home=settings.home)
    return url


def keys_database_url(settings: Settings) -> str | None:
    """The address of the key database; None: there is none, and no personal data is taken."""
    return resolve(settings).keys_database_url


def kafka_security(settings: Settings) -> Security:
    """Encryption and login for the Kafka of these settings."""
    return Security(
        encrypted=settings.kafka_tls,
        authorities=settings.kafka_ca,
        mechanism=settings.kafka_sasl,
        user=settings.kafka_user,
        password=_secret(settings.kafka_password),
    )


def _secret(value: SecretStr | None) -> str | None:
    return None if value is None else value.get_secret_value()
