import os
import traceback
from pathlib import Path

import pytest
from pydantic import ValidationError

from runtime.masking import masked_address
from runtime.settings import Settings, SettingsError


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    for variable in [name for name in os.environ if name.startswith("COUNTERFOIL_")]:
        monkeypatch.delenv(variable)


def test_everything_is_kept_below_the_directory_of_the_first_start(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    settings = Settings.load()
    monkeypatch.chdir("/")

    assert tmp_path / ".counterfoil" == settings.home


def test_downloads_follow_the_users_cache_directory_unless_it_is_set(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache/someone")

    assert Path("/var/cache/someone/counterfoil") == Settings.load().cache

    monkeypatch.setenv("COUNTERFOIL_CACHE", "/srv/jars")

    assert Path("/srv/jars") == Settings.load().cache


def test_a_mistyped_variable_is_an_error_that_names_the_nearest_setting(monkeypatch):
    monkeypatch.setenv("COUNTERFOIL_DATABSE_URL", "postgresql://h/db")

    with pytest.raises(SettingsError, match=r"COUNTERFOIL_DATABSE_URL is not .* COUNTERFOIL_DATABASE_URL"):
        Settings.load()


@pytest.mark.parametrize(
    "service", ["counterfoil", "counterfoil-query-api", "counterfoil-2", "counterfoil-home"]
)
def test_the_variables_that_kubernetes_injects_for_a_service_are_no_settings(monkeypatch, service):
    before = Settings.load()
    for variable, value in injected(service).items():
        monkeypatch.setenv(variable, value)

    assert before == Settings.load()


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_no_service_whatever_its_name_sets_or_stops_anything(monkeypatch, name):
    """Also one whose variables are called like a setting of ours."""
    before = Settings.load()
    for ending in ("_service_host", "_service_port", "_port"):
        if name.endswith(ending):
            for variable, value in injected(f"counterfoil-{name.removesuffix(ending)}").items():
                monkeypatch.setenv(variable, value)
    for variable, value in injected(f"counterfoil-{name}").items():
        monkeypatch.setenv(variable, value)

    assert before == Settings.load()


def test_a_port_that_is_set_with_a_service_counts(monkeypatch):
    for variable, value in injected("counterfoil-query-api").items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("COUNTERFOIL_QUERY_API_PORT", "9999")

    assert Settings.load().query_api_port == 9999


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("COUNTERFOIL_PORT", "8081"),
        ("COUNTERFOIL_QUERY_APIS_PORT", "8081"),
        ("COUNTERFOIL_QUERY_API_HOSTS", "192.0.2.1"),
        ("COUNTERFOIL_SERVICE", "x"),
        ("COUNTERFOIL_KAFKA_BOOTSTRAPS", "tcp://192.0.2.1:9092"),
        ("COUNTERFOIL_PORT_8080", "8080"),
        ("counterfoil_homes", "/srv"),
    ],
)
def test_a_typing_mistake_is_found_with_services(monkeypatch, variable, value):
    for name, of_service in injected("counterfoil-command-api").items():
        monkeypatch.setenv(name, of_service)
    monkeypatch.setenv(variable, value)

    with pytest.raises(SettingsError, match=f"{variable} is not a setting"):
        Settings.load()


def injected(service):
    """What Kubernetes puts into every container of the namespace for a service with a named port and a second one."""
    prefix = service.upper().replace("-", "_")
    variables = {
        f"{prefix}_SERVICE_HOST": "192.0.2.1",
        f"{prefix}_SERVICE_PORT": "8080",
        f"{prefix}_SERVICE_PORT_HTTP": "8080",
        f"{prefix}_SERVICE_PORT_HTTP_METRICS": "9090",
        f"{prefix}_PORT": "tcp://192.0.2.1:8080",
    }
    for port, protocol in ((8080, "tcp"), (9090, "udp"), (9091, "sctp")):
        one = f"{prefix}_PORT_{port}_{protocol.upper()}"
        variables |= {
            one: f"{protocol}://[fd00::11]:{port}",
            f"{one}_PROTO": protocol,
            f"{one}_PORT": str(port),
            f"{one}_ADDR": "fd00::11",
        }
    return variables


def test_an_impossible_value_names_its_variable_and_never_repeats_the_value(monkeypatch):
    monkeypatch.setenv("COUNTERFOIL_COMMAND_API_PORT", "98765")
    monkeypatch.setenv("COUNTERFOIL_TRANSPORT", "s3cret-pigeon")

    with pytest.raises(SettingsError) as refused:
        Settings.load()

    assert "COUNTERFOIL_COMMAND_API_PORT" in str(refused.value)
    assert "COUNTERFOIL_TRANSPORT" in str(refused.value)
    assert "98765" not in str(refused.value)
    assert "s3cret-pigeon" not in str(refused.value)


@pytest.mark.parametrize("name", ["CART_IDLE_S", "CART_EXPIRES_S", "UNDECIDED_AFTER_S"])
def test_a_wait_that_no_date_can_be_counted_from_is_refused_with_the_longest_there_may_be(monkeypatch, name):
    monkeypatch.setenv(f"COUNTERFOIL_{name}", "1e300")

    with pytest.raises(SettingsError, match=f"COUNTERFOIL_{name}: .* less than or equal to 31536000"):
        Settings.load()


def test_a_time_zone_that_is_none_is_refused(monkeypatch):
    monkeypatch.setenv("COUNTERFOIL_TIME_ZONE", "Europe/London")
    assert "Europe/London" == Settings.load().time_zone
    for none in ("Mars/Olympus", "../UTC", "europe"):
        monkeypatch.setenv("COUNTERFOIL_TIME_ZONE", none)
        with pytest.raises(SettingsError, match="COUNTERFOIL_TIME_ZONE"):
            Settings.load()


def test_an_empty_variable_counts_as_not_set(monkeypatch):
    monkeypatch.setenv("COUNTERFOIL_REDIS_URL", "")

    assert Settings.load().redis_url is None


def test_passwords_are_shown_to_nobody(monkeypatch):
    monkeypatch.setenv("COUNTERFOIL_DATABASE_URL", "postgresql://shop:s3cret@db.local/shop")
    monkeypatch.setenv("COUNTERFOIL_REDIS_URL", "redis://:s3cret@cache.local:6379/0")
    settings = Settings.load()

    assert settings.masked()["COUNTERFOIL_DATABASE_URL"] == "postgresql://shop:***@db.local/shop"
    assert settings.masked()["COUNTERFOIL_REDIS_URL"] == "redis://:***@cache.local:6379/0"
    assert "s3cret" not in repr(settings)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://u:p@ss/w:rd@h/db", "postgresql://u:***@h/db"),
        (
            "postgresql://h/db?user=u&password=s3cret&sslmode=require",
            "postgresql://h/db?user=u&password=***&sslmode=require",
        ),
        ("host=h user=u password='with space' dbname=db", "host=h user=u password=*** dbname=db"),
        ("127.0.0.1:9092", "127.0.0.1:9092"),
        ("postgresql://h/db", "postgresql://h/db"),
        ("host=h password = s3cret&more dbname=db", "host=h password = *** dbname=db"),
        (r"host=h password=s3\ cret dbname=db", "host=h password=*** dbname=db"),
        ("postgresql://u/x:s3cret@h/db", "postgresql://***@h/db"),
        ("rediss://h:6379/0?ssl_password=s3cret", "rediss://h:6379/0?ssl_password=***"),
        ("a.local:9092,b.local:9092", "a.local:9092,b.local:9092"),
        ("[::1]:9092", "[::1]:9092"),
        ("shop:s3cret@db.local/shop", "***"),
        ("s3cret/", "***"),
    ],
)
def test_an_address_is_shown_without_its_password(address, shown):
    assert shown == masked_address(address)


MALFORMED = {
    "DATABASE_URL": [
        "shop:s3cret@db.local/shop",
        "mysql://shop:s3cret@h/x",
        "s3cret",
        "postgresql://shop:s3%zzcret@127.0.0.1/shop",
        "postgresql://shop:s3cret@127.0.0.1/shop?sslmod=require",
        "postgresql://shop:s3cret/more@127.0.0.1/shop",
        "postgresql://shop:p@s3cret@127.0.0.1/shop",
        "host=h pasword=s3cret",
    ],
    "REDIS_URL": [
        "s3cret",
        ":s3cret@cache.local:6379/0",
        "redis:s3cret",
        "http://:s3cret@cache.local",
        "redis://:s3cret/more@cache.local:6379/0",
        "redis://:s3cret@cache.local:6379/0?pasword=s3cret",
        "redis://:s3cret@cache.local:6379/0?socket_timeout=s3cret",
    ],
}
MALFORMED["KEYS_DATABASE_URL"] = MALFORMED["DATABASE_URL"]


@pytest.mark.parametrize(
    ("name", "address"), [(name, each) for name, addresses in MALFORMED.items() for each in addresses]
)
def test_a_malformed_address_is_refused_by_its_setting_and_form_and_never_repeated(
    monkeypatch, name, address
):
    monkeypatch.setenv(f"COUNTERFOIL_{name}", address)

    with pytest.raises(SettingsError, match=rf"^COUNTERFOIL_{name}: is no address of .*: write ") as refused:
        Settings.load()

    with pytest.raises(ValidationError) as raw:
        Settings()

    written = [*traceback.format_exception(refused.value), *traceback.format_exception(raw.value)]

    assert "s3" not in "".join(written)


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("DATABASE_URL", "postgres://db.local:5433,other.local/shop?target_session_attrs=read-write"),
        ("DATABASE_URL", "host=/run/postgres dbname=shop user=shop password='s3 cret' port=5432"),
        ("DATABASE_URL", "postgresql:///shop?host=@abstract"),
        (
            "DATABASE_URL",
            "postgresql://shop:s3%40cret@[::1]:5432/shop?sslmode=verify-full&sslrootcert=/ca.pem",
        ),
        ("REDIS_URL", "redis://cache.local"),
        ("REDIS_URL", "rediss://me:s3@cret@cache.local:6379/0?ssl_ca_certs=/ca.pem"),
        ("REDIS_URL", "rediss://:s3cret@cache.local:6379/0?ssl_certfile=/c.pem&ssl_keyfile=/k.pem"),
        ("REDIS_URL", "redis://[::1]:6379/0"),
        ("REDIS_URL", "unix:///run/valkey.sock?db=1"),
    ],
)
def test_every_form_of_an_address_is_accepted(monkeypatch, name, address):
    monkeypatch.setenv(f"COUNTERFOIL_{name}", address)

    assert address == getattr(Settings.load(), name.lower()).get_secret_value()


def test_secrets_of_webhooks_are_masked_whole(monkeypatch):
    monkeypatch.setenv("COUNTERFOIL_PAYMENT_WEBHOOK_SECRETS", "s3cret,older")

    assert "***" == Settings.load().masked()["COUNTERFOIL_PAYMENT_WEBHOOK_SECRETS"]


def test_every_setting_says_what_it_is_for():
    assert [] == [name for name, field in Settings.model_fields.items() if not field.description]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"KAFKA_USER": "me"}, "KAFKA_USER and COUNTERFOIL_KAFKA_PASSWORD belong together"),
        ({"KAFKA_CA": "ca.pem"}, "COUNTERFOIL_KAFKA_CA is only used with COUNTERFOIL_KAFKA_TLS=true"),
        ({"KAFKA_TLS": "true", "KAFKA_BOOTSTRAP": ""}, "are for the Kafka at COUNTERFOIL_KAFKA_BOOTSTRAP"),
    ],
)
def test_security_of_kafka_is_whole_or_refused(monkeypatch, given, words):
    for name, value in {"KAFKA_BOOTSTRAP": "broker:9092", **given}.items():
        monkeypatch.setenv(f"COUNTERFOIL_{name}", value)

    with pytest.raises(SettingsError, match=words):
        Settings.load()


def test_a_password_of_its_own_is_masked_whole(monkeypatch):
    for name, value in {"BOOTSTRAP": "broker:9092", "USER": "me", "PASSWORD": "secret"}.items():
        monkeypatch.setenv(f"COUNTERFOIL_KAFKA_{name}", value)
    shown = Settings.load().masked()

    assert ("me", "***") == (shown["COUNTERFOIL_KAFKA_USER"], shown["COUNTERFOIL_KAFKA_PASSWORD"])
