"""The page of a case: its events for a reader who has a browser and nothing else. It follows from the other lines.

Whatever is in events was written by others. Every text is escaped, characters that a browser acts on or hides are
spelled out, and the page carries no script, no link and a policy that lets a browser load nothing.

Sealed values are shown as `sealed`, or as `erased` if an event of the case names their key as erased. No key is needed
for that, and no text of an event can look like either: only the page has `em` elements.
"""

import contextlib
import html
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final

import msgspec
from msgspec import Struct

from domain.sealed import ERASURE_TAG, Sealed
from event_store.log.envelope import decode_metadata
from event_store.proofs.bundle import EventLine, Header
from event_store.proofs.evidence import Evidence
from runtime.decoders import of_any_depth

EVENTS_SHOWN_MAX: Final = 1_000
PAGE_CHARACTERS_MAX: Final = 4_000_000
"""Behind so many no further event is shown."""
CHARACTERS_SHOWN_MAX: Final = 2_000
"""Of one value; what is cut ends in an ellipsis."""
MEMBERS_SHOWN_MAX: Final = 100
"""Of one payload; one with more is shown as it was stored."""
PARTS_MAX: Final = 10_000
"""Of one member; in one with more nobody looks for sealed values."""
VERSION: Final = "counterfoil.page.v1"
BEGINNING: Final = f"<!doctype html>\n<!-- {VERSION} -->\n"

_UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_HIDDEN: Final = re.compile(
    "[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
"""Control characters, and those that change the direction of text or are not shown."""
_KEY_ID: Final = re.compile("[0-9a-f-]{32,36}")
_SEALED: Final = re.compile("<em>sealed</em> under key <bdi>([0-9a-f-]+)</bdi>")

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
_LEGEND: Final = """<p><em>sealed</em> and <em>erased</em> stand for personal data, of which the events hold
ciphertext. A key that is not in this file opens what is sealed. The key of what is erased was given up by an event of
this case: nothing opens it any more. Hashes cover the ciphertext, so both are verified like everything else.</p>
"""
_TAIL: Final = "<p>{events} events{more}.</p>\n{legend}</body>\n</html>\n"


class _Erasure(Struct, frozen=True):
    """What the page reads of an event that erases."""

    key_ids: tuple[str, ...]


_decode_erasure: Final = of_any_depth(msgspec.json.Decoder(_Erasure).decode)


class Page:
    """A page that grows by one event after the other."""

    def __init__(self, header: Header) -> None:
        """Begin the page of a case."""
        origin, size, root = [*header.checkpoint.split("\n"), "", "", ""][:3]
        title = f"{'Stream' if header.kind == 'case' else header.kind.capitalize()} {header.stream or header.subject}"
        shown = {"title": title, "origin": origin, "size": size, "root": root}
        self._parts = [BEGINNING, _HEAD.format(**{name: escaped(text) for name, text in shown.items()})]
        self._events = self._shown = self._characters = 0
        self._erased: set[str] = set()

    def add(self, line: EventLine) -> None:
        """Show the next event."""
        self._events += 1
        if line.event is not None and ERASURE_TAG in line.tags:
            self._erased |= _keys_erased_by(line.event)
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
        shown, sealed = _SEALED.subn(self._sealed_or_erased, "".join(self._parts))
        return shown + _TAIL.format(events=f"{self._events:,}", more=more, legend=_LEGEND if sealed else "")

    def _sealed_or_erased(self, found: re.Match[str]) -> str:
        """What is known at the end only: events that erase follow those that are erased."""
        if found[1] not in self._erased:
            return found[0]
        return found[0].replace("<em>sealed</em>", "<em>erased</em>", 1)


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
    shown = "".join(_member(name, value) for name, value in (*members.items(), *_payload(event)))
    return f"<section>\n<h2>{event.position}. {escaped(event.type)}</h2>\n<dl>\n{shown}</dl>\n</section>\n"


def _payload(event: Evidence) -> list[tuple[str, str | Sealed]]:
    with contextlib.suppress(msgspec.DecodeError, RecursionError):
        payload: Any = msgspec.json.decode(event.payload)
        if isinstance(payload, dict):
            members = [part for name, value in payload.items() for part in _parts(f"payload.{name}", value)]
            if len(members) <= MEMBERS_SHOWN_MAX:
                return members
    return [("payload", event.payload)]


def _parts(name: str, value: Any) -> list[tuple[str, str | Sealed]]:
    """A member that holds sealed values is shown part by part, any other as a whole."""
    parts = list(islice(_leaves(name, value), PARTS_MAX + 1))
    if len(parts) > PARTS_MAX or not any(isinstance(part, Sealed) for _, part in parts):
        parts = [(name, value)]
    return [
        (each, part if isinstance(part, str | Sealed) else msgspec.json.encode(part).decode())
        for each, part in parts
    ]


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, list) and (sealed := _sealed(value)) is not None:
        yield name, sealed
    elif isinstance(value, dict | list) and value:
        for each, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(f"{name}.{each}", part)
    else:
        yield name, value


def _sealed(value: list[Any]) -> Sealed | None:
    try:
        found = msgspec.convert(value, Sealed)
    except msgspec.ValidationError:
        return None
    return found if len(value) == 3 and _KEY_ID.fullmatch(found.key_id) else None


def _keys_erased_by(event: Evidence) -> set[str]:
    try:
        return set(_decode_erasure(event.payload).key_ids)
    except msgspec.DecodeError:
        return set()


def _member(name: str, value: str | Sealed) -> str:
    shown = (
        f"<em>sealed</em> under key <bdi>{value.key_id}</bdi>"
        if isinstance(value, Sealed)
        else f"<bdi>{escaped(value)}</bdi>"
    )
    return f"<dt><bdi>{escaped(name)}</bdi></dt><dd>{shown}</dd>\n"


def _gone(position: int) -> str:
    return f'<section class="gone">\n<h2>{position}. The row is gone from the log.</h2>\n</section>\n'
