"""Which errors a user can act on, and the text of each message; everything else is a defect and keeps its trace."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import psycopg

SENT_FROM: Final = (
    "COUNTERFOIL_TOKEN holds what is sent: a token of `counterfoil account token`, or the key of a program"
)
"""How the command line is given the token that a request carries."""


class UserError(Exception):
    """An error whose text is for the user, and names what to do; for parts that are not always installed."""


def user_message(error: BaseException) -> str | None:
    """What to print for this error, or None if it is a defect of ours.

    The families are imported here, when something went wrong, and not at start-up.
    """
    from counterfoil.addresses import NoAddress
    from counterfoil.fencing import CacheNotEmptied, NotConfirmed
    from counterfoil.moving import MoveFailed
    from counterfoil.replaying import BadMoment, NoSuchStream
    from counterfoil.runfile import AlreadyRunning
    from counterfoil.servers.errors import ServerError
    from counterfoil.skeletons import NotGenerated
    from event_store.consumers.parking import NotParked
    from event_store.log.codec import CodecError
    from event_store.log.cutting import NotOneMoment
    from event_store.proofs.errors import ProofsError
    from event_store.proofs.note import NoteError
    from event_store.proofs.witness import WitnessError
    from event_store.transport.transport import TransportError
    from projections.errors import ProjectionError
    from runtime.database import RoleMissing, RoleNotGranted
    from runtime.documents import DocumentsUnavailable
    from runtime.keyring.errors import KeyringError
    from runtime.listening import CannotListen
    from runtime.migrations import MigrationError
    from runtime.problems import ProblemError
    from runtime.settings import SettingsError

    match error:
        case psycopg.errors.UndefinedTable() | psycopg.errors.InvalidSchemaName():
            return "the database is not migrated: run `counterfoil migrate`"
        case psycopg.errors.InsufficientPrivilege():
            return f"Postgres refuses: {str(error).strip()}; `counterfoil roles` says which command takes which role"
        case RoleMissing():
            return f"{error}: run `counterfoil migrate`"
        case RoleNotGranted():
            return (
                f"{error}: an administrator grants it, `grant {error.role} to {error.login}`;"
                " `counterfoil roles` says which command takes which role"
            )
        case psycopg.OperationalError():
            return f"Postgres cannot be reached or refuses: {str(error).strip()}"
        case (
            UserError()
            | SettingsError()
            | KeyringError()
            | CannotListen()
            | NoAddress()
            | AlreadyRunning()
            | NotGenerated()
            | ServerError()
            | MigrationError()
            | TransportError()
            | ProjectionError()
            | NotParked()
            | CacheNotEmptied()
            | NotConfirmed()
            | NotOneMoment()
            | NoteError()
            | ProofsError()
            | BadMoment()
            | NoSuchStream()
            | MoveFailed()
            | CodecError()
            | DocumentsUnavailable()
            | ProblemError()
            | WitnessError()
        ):
            return str(error)
    return None


def refusal(problem: Mapping[str, Any], *, url: str, status: int) -> str:
    """Why an API refused what the command line asked for; and how a token is given, where it is for want of one."""
    faults = "; ".join(fault["detail"] for fault in problem.get("errors", ()))
    said = str(faults or problem.get("detail") or f"{url} answers {status}")
    if status != HTTPStatus.UNAUTHORIZED:
        return said
    return f"{said.removesuffix('.')}: {SENT_FROM}"


def code_of_audit(error: BaseException) -> int | None:
    """With which code an audit ends that this error ended; None: it is no business of the table of codes."""
    from counterfoil.addresses import NoAddress
    from counterfoil.auditing import RowsLost
    from counterfoil.cli import answering
    from counterfoil.replaying import BadMoment, NoSuchStream
    from counterfoil.viewing import NotDeclared
    from event_store.log.codec import MalformedEvent, UnknownEventType, UnknownEventVersion
    from event_store.proofs.errors import FalseProof, ProofsError
    from event_store.proofs.note import MalformedNote, UnknownSigner, UnverifiedNote
    from event_store.proofs.proving import TreeDamaged
    from projections.errors import BuildRefused, FoldFailed, NoSuchBuild, ViewDiffers
    from runtime.database import RoleMissing, RoleNotGranted
    from runtime.migrations import MigrationError

    match error:
        case UnknownSigner():
            return answering.EXIT_NOT_EXAMINED
        case (
            MalformedEvent() | FoldFailed() | ViewDiffers() | TreeDamaged() | FalseProof() | UnverifiedNote()
        ):
            return answering.EXIT_FAILED
        case RowsLost():
            return answering.EXIT_FAILED
        case (
            psycopg.Error()
            | NoAddress()
            | RoleMissing()
            | RoleNotGranted()
            | MigrationError()
            | ProofsError()
        ):
            return answering.EXIT_NOT_EXAMINED
        case UnknownEventType() | UnknownEventVersion() | BuildRefused() | NotDeclared():
            return answering.EXIT_INCOMPLETE
        case BadMoment() | NoSuchStream() | NoSuchBuild() | MalformedNote():
            return answering.EXIT_USAGE
    return None
