"""The page of a case: its events for a reader who has a browser and nothing else. It follows from the other lines.

Whatever is in events was written by others. Every text is escaped, characters that a browser acts on or hides are
spelled out, and the page carries no script, no link and a policy that lets a browser load nothing.
"""

import html
import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from event_store.log.envelope import decode_metadata
from event_store.proofs.bundle import EventLine, Header
from event_store.proofs.evidence import Evidence

EVENTS_SHOWN_MAX: Final = 1_000
PAGE_CHARACTERS_MAX: Final = 4_000_000
"""Behind so many no further event is shown."""
CHARACTERS_SHOWN_MAX: Final = 2_000
"""Of one value; what is cut ends in an ellipsis."""
MEMBERS_SHOWN_MAX: Final = 100
VERSION: Final = "counterfoil.page.v1"
BEGINNING: Final = f"<!doctype html>\n<!-- {VERSION} -->\n"

_UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_HIDDEN: Final = re.compile(
    "[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
"""Control characters, and those that change the direction of text or are not shown."""

_HEAD: Final = """<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #1c1c1c }}
h1 {{ font-size: 1.5rem; overflow-wrap: anywhere }}
section {{ border-top: 1px solid #bbb; padding: .75rem 0 }}
h2 {{ font-size: 1rem; margin: 0; overflow-wrap: anywhere }}
dl {{ display: grid; grid-template-columns: 12rem minmax(0, 1fr); gap: 0 1rem; margin: .25rem 0 }}
dt {{ color: #555; overflow-wrap: anywhere }}
dd {{ margin: 0; overflow-wrap: anywhere; white-space: pre-wrap }}
.gone {{ color: #a00000 }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>What the log <bdi>{origin}</bdi> recorded, held against a checkpoint of {size} events with the root {root}.</p>
<p>This page is for reading and proves nothing. The file that it came in does: <code>counterfoil audit check</code>
verifies each event in it with the public key of the log, and that this page says what they say.</p>
"""
_TAIL: Final = "<p>{events} events{more}.</p>\n</body>\n</html>\n"


class Page:
    """A page that grows by one event after the other."""

    def __init__(self, header: Header) -> None:
        """Begin the page of a case."""
        origin, size, root = [*header.checkpoint.split("\n"), "", "", ""][:3]
        title = f"{'Stream' if header.kind == 'case' else header.kind.capitalize()} {header.stream or header.subject}"
        shown = {"title": title, "origin": origin, "size": size, "root": root}
        self._parts = [BEGINNING, _HEAD.format(**{name: escaped(text) for name, text in shown.items()})]
        self._events = self._shown = self._characters = 0

    def add(self, line: EventLine) -> None:
        """Show the next event."""
        self._events += 1
        if self._shown < self._events - 1 or self._shown == EVENTS_SHOWN_MAX:
            return
        if self._characters < PAGE_CHARACTERS_MAX:
            section = _gone(line.position) if line.event is None else _section(line.event)
            self._parts.append(section)
            self._characters += len(section)
            self._shown += 1

    def text(self) -> str:
        """The whole page."""
        more = (
            "" if self._events <= EVENTS_SHOWN_MAX else f", of which the first {EVENTS_SHOWN_MAX:,} are shown"
        )
        return "".join([*self._parts, _TAIL.format(events=f"{self._events:,}", more=more)])


def escaped(text: str) -> str:
    """Text of others, as a page may hold it."""
    cut = text if len(text) <= CHARACTERS_SHOWN_MAX else f"{text[:CHARACTERS_SHOWN_MAX]}…"
    return html.escape(_HIDDEN.sub(_spelled, cut))


def _spelled(found: re.Match[str]) -> str:
    return "\n" if found.group() == "\n" else f"\\u{{{ord(found.group()):x}}}"


def _section(event: Evidence) -> str:
    recorded_at = _UNIX_EPOCH + timedelta(microseconds=event.recorded_at)
    members = {
        "recorded": recorded_at.isoformat(sep=" "),
        "stream": f"{event.stream}, version {event.version}",
    }
    try:
        metadata = decode_metadata(event.metadata.encode())
        members |= {"by": f"{metadata.actor} with {metadata.command}"}
        if metadata.occurred_at is not None:
            members["occurred"] = metadata.occurred_at.isoformat(sep=" ")
    except msgspec.DecodeError:
        members |= {"metadata": event.metadata}
    shown = "".join(_member(name, value) for name, value in (members | _payload(event)).items())
    return f"<section>\n<h2>{event.position}. {escaped(event.type)}</h2>\n<dl>\n{shown}</dl>\n</section>\n"


def _payload(event: Evidence) -> dict[str, str]:
    try:
        payload: Any = msgspec.json.decode(event.payload)
    except (msgspec.DecodeError, RecursionError):
        payload = None
    if not isinstance(payload, dict) or len(payload) > MEMBERS_SHOWN_MAX:
        return {"payload": event.payload}
    return {
        f"payload.{name}": value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for name, value in payload.items()
    }


def _member(name: str, value: str) -> str:
    return f"<dt><bdi>{escaped(name)}</bdi></dt><dd><bdi>{escaped(value)}</bdi></dd>\n"


def _gone(position: int) -> str:
    return f'<section class="gone">\n<h2>{position}. The row is gone from the log.</h2>\n</section>\n'
