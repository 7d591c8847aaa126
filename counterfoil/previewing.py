"""`counterfoil mail preview`: what a template looks like, with values of nobody."""

from datetime import UTC, datetime
from typing import Final

from commands.mail import rendering
from commands.mail.rendering import Letterhead
from counterfoil.user_messages import UserError
from domain.mail.templates import TEMPLATES, Template
from runtime.settings import Settings

_SAMPLE: Final = Letterhead(
    address="no-reply@shop.example", name="The shop", links="https://shop.example/account"
)
_VALUES: Final = {
    "at": "2026-11-26 08:30 UTC",
    "order": "536365",
    "provider": "https://accounts.example",
    "token": "a-secret-token",  # nosec B105 - an example
    "total": "15.30 GBP",
    "why": "not all of it is in stock",
}
_AT: Final = datetime(2026, 11, 26, 8, 30, tzinfo=UTC)


def preview(settings: Settings, name: str, *, version: int | None = None) -> str:
    """A mail to nobody, as text, with the letterhead of the settings if they have one.

    Raises:
        UserError: there is no such template, or not in this version.
    """
    template = _template(name)
    letterhead = _SAMPLE if settings.mail_host is None else rendering.letterhead(settings)
    try:
        rendered = rendering.render(name, version or template.version, letterhead=letterhead, values=_VALUES)
    except rendering.RenderingError as error:
        raise UserError(str(error)) from error
    made = rendering.message(
        rendered, letterhead=letterhead, to="somebody@example.org", key="preview", at=_AT
    )
    headers = "\n".join(f"{header}: {value}" for header, value in made.items())
    return f"{headers}\n\n{rendered.text}"


def _template(name: str) -> Template:
    found = next((template for template in TEMPLATES if template.name == name), None)
    if found is None:
        raise UserError(
            f"there is no template {name!r}; there are {', '.join(each.name for each in TEMPLATES)}"
        )
    return found
