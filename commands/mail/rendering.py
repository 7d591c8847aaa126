"""What a mail looks like: a template, filled in, as the bytes that are handed to a mail server.

A mail is plain text, loads nothing from anywhere, and is the same each time it is made for the same request, down to
its Date and Message-ID: a mailbox that gets it twice can tell. Tokens stand behind the `#` of a link, which browsers
send to no server.
"""

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from importlib import resources
from string import Template
from typing import Final
from urllib.parse import quote

from msgspec import Struct

from runtime.settings import Settings

SUFFIX: Final = ".template"
_SUBJECT: Final = "Subject: "
_DIGEST_CHARACTERS: Final = 32
_control = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_address = re.compile(r"[!-?A-~]{1,64}@(?=.{1,255}$)[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*")
_ADDRESS_SPECIALS: Final = frozenset('"(),:;<>[\\]')


class RenderingError(Exception):
    """A mail cannot be made of its template and values; the text names neither a value nor an address."""


class MalformedAddress(RenderingError):
    """The recipient's address cannot be written in a mail."""


class Letterhead(Struct, frozen=True, kw_only=True):
    """What all mails of a shop have in common: its address and name, and where the pages are that links lead to."""

    address: str
    name: str
    links: str

    @property
    def domain(self) -> str:
        """The domain of its address."""
        return self.address.rpartition("@")[2]


def letterhead(settings: Settings) -> Letterhead:
    """The letterhead of an installation that has a mail server."""
    address, links = settings.mail_from, settings.mail_links
    assert address is not None, "settings with a mail server say from whom mails are"
    assert links is not None, "settings with a mail server say where links lead"
    return Letterhead(address=address, name=settings.mail_name or address.rpartition("@")[2], links=links)


class Rendered(Struct, frozen=True):
    """A filled template."""

    subject: str
    text: str


def render(template: str, version: int, *, letterhead: Letterhead, values: Mapping[str, str]) -> Rendered:
    """Fill a version of a template.

    Raises:
        RenderingError: there is no such version, or a value is missing.
    """
    file = resources.files(__package__) / "templates" / f"{template}.v{version}{SUFFIX}"
    if not re.fullmatch(r"[a-z]+(-[a-z]+)*", template) or not file.is_file():
        raise RenderingError(f"there is no template {template!r} in version {version}")
    plain = {name: _control.sub(" ", value) for name, value in values.items()}
    if "token" in plain:
        plain["token"] = quote(plain["token"], safe="")
    subject, blank, text = file.read_text(encoding="utf-8").split("\n", 2)
    assert subject.startswith(_SUBJECT), f"{file.name} begins with a subject"
    assert not blank, f"an empty line follows the subject of {file.name}"
    filled = {**plain, "shop": letterhead.name, "links": letterhead.links.rstrip("/")}
    try:
        return Rendered(
            Template(subject.removeprefix(_SUBJECT)).substitute(filled), Template(text).substitute(filled)
        )
    except KeyError as error:
        raise RenderingError(f"the template {template!r} lacks a value for {error}") from None


def message(rendered: Rendered, *, letterhead: Letterhead, to: str, key: str, at: datetime) -> EmailMessage:
    """The mail to an address. `key` names it among all that are ever sent, `at` is its Date.

    Raises:
        MalformedAddress: the address is none, or has letters that not every server can write.
    """
    mail = EmailMessage(policy=SMTP)
    mail["From"] = Address(display_name=letterhead.name, addr_spec=letterhead.address)
    mail["To"] = Address(addr_spec=written_address(to))
    mail["Subject"] = rendered.subject
    mail["Date"] = at
    mail["Message-ID"] = message_id(key, domain=letterhead.domain)
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(rendered.text)
    return mail


def message_id(key: str, *, domain: str) -> str:
    """The Message-ID of the mail that a key names."""
    return f"<{hashlib.sha256(key.encode()).hexdigest()[:_DIGEST_CHARACTERS]}@{domain}>"


def written_address(address: str) -> str:
    """The address, if it is one that can be written in a mail and to a server as it stands.

    Raises:
        MalformedAddress: it is not.
    """
    local = address.rpartition("@")[0]
    if _address.fullmatch(address) is None or _ADDRESS_SPECIALS.intersection(local) or ".." in f".{local}.":
        raise MalformedAddress("the address cannot be written in a mail")
    return address
