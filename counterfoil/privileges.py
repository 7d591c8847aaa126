"""`counterfoil roles`: which command takes which role of Postgres, and what an administrator runs to grant them."""

from importlib import resources
from typing import Final

from msgspec import Struct
from psycopg import sql

from runtime.database import Role

LOGIN_PREFIX: Final = "shop_"


class Part(Struct, frozen=True):
    """Commands that one login runs, and the group roles that it has to be a member of: no fewer will do."""

    login: str
    commands: tuple[str, ...]
    roles: tuple[Role, ...]


PARTS: Final = (
    Part("migrate", ("migrate", "log fence"), ("counterfoil_owner",)),
    Part(
        "command_api",
        ("command-api", "account create-owner", "identity rotate-key", "master-key rewrap"),
        (
            *("counterfoil_writer", "counterfoil_reader", "counterfoil_vault", "counterfoil_recorder"),
            "counterfoil_keys",
        ),
    ),
    Part(
        "query_api",
        ("query-api",),
        ("counterfoil_reader", "counterfoil_recorder", "counterfoil_revealer"),
    ),
    Part("relay", ("relay",), ("counterfoil_relay",)),
    Part("projections", ("projections",), ("counterfoil_projector",)),
    Part(
        "processes",
        ("processes",),
        ("counterfoil_writer", "counterfoil_vault", "counterfoil_keys", "counterfoil_revealer"),
    ),
    Part("sealer", ("sealer", "seal-key generate"), ("counterfoil_sealer",)),
    Part(
        "consumers",
        ("consumers",),
        (
            *("counterfoil_relay", "counterfoil_projector", "counterfoil_writer", "counterfoil_sealer"),
            *("counterfoil_vault", "counterfoil_keys", "counterfoil_revealer"),
        ),
    ),
    Part(
        "auditor",
        (
            *(
                "audit verify",
                "audit checkpoint",
                "audit prove",
                "audit export",
                "audit certify",
                "replay",
                "status",
                "doctor",
            ),
            *("views list", "views verify", "parked list", "parked show", "timers list"),
        ),
        ("counterfoil_reader",),
    ),
    Part(
        "operator",
        (
            *("views rebuild", "views promote", "views rollback", "views drop"),
            *("parked retry", "parked skip", "pause", "resume", "import eventsourcing"),
        ),
        ("counterfoil_reader", "counterfoil_projector", "counterfoil_writer"),
    ),
)
WITHOUT_A_ROLE: Final = (
    *(
        "config show",
        "context new",
        "gateway envoy",
        "gateway kong",
        "gateway nginx",
        "roles",
        "master-key rotate",
        "seal-key rotate",
        "seal-key show",
        "audit receipt",
        "audit check",
        "audit recompute",
        "audit extends",
        "audit page",
    ),
    *(
        "account token",
        "customer erase",
        "import online-retail",
        "simulate carrier",
        "simulate payments",
        "mail preview",
    ),
    *("witness create", "witness trust", "witness serve"),
)
"""Commands that never speak to Postgres."""
OF_ITS_OWN: Final = ("up", "demo")
"""Commands that play every part at once, on a Postgres of their own unless they are given one."""

_DATABASE: Final = sql.SQL("""\
-- The owner makes the schemas of this database.
do $$
begin
    execute format('grant connect, create on database %I to counterfoil_owner', current_database());
end
$$;
""")
_LOGINS: Final = sql.SQL("""\
-- A login for each part, which has no right but to take the roles of that part. They have no passwords yet.
do $$
declare
    _login text;
    _role text;
begin
    for _login, _role in values
        {pairs}
    loop
        if not exists (select from pg_roles where rolname = _login) then
            execute format('create role %I login noinherit', _login);
        end if;
        execute format('grant connect on database %I to %I', current_database(), _login);
        execute format('grant %I to %I', _role, _login);
    end loop;
end
$$;
""")


def lines() -> list[str]:
    """Which command takes which role."""
    return [f"{', '.join(part.commands)}: {', '.join(part.roles)}" for part in PARTS]


def script(*, login_prefix: str = LOGIN_PREFIX) -> str:
    """What an administrator runs once, connected to the database of Counterfoil, before `counterfoil migrate`."""
    groups = (resources.files("event_store") / "sql" / "roles" / "roles.sql").read_text()
    pairs = sql.SQL(",\n        ").join(
        sql.SQL("({}, {})").format(sql.Literal(login_prefix + part.login), sql.Literal(role))
        for part in PARTS
        for role in part.roles
    )
    return "\n".join([groups, _DATABASE.as_string(), _LOGINS.format(pairs=pairs).as_string()])
