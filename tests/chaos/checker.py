"""The laws that a campaign of faults must not break, judged from plain values: nothing of the product is imported.

Evidence is what clients remember and what was dumped when the dust had settled:

    attempts    one request: command, key, stream, invoke, return (seconds of one monotonic clock), outcome
                (ok: accepted; fail: certainly nothing was done; unknown), position and answer of an accepted one;
                final (not to be sent again); code and stream of a refusal; effects, if it asks for several
    reads       one answer labelled fresh: view, key, the position asked for, the document
    log         events in position order: position, stream, version, type, partition_key, correlation_id, causation,
                idempotency, actor, epoch, leaf (hex), entry (what the leaf is made of), payload (parsed)
    outcomes    the keys (hex) of the outcomes that the log keeps, or None
    topic       records in offset order: partition, position, prev, version, stream, key, leaf
    topic_start the first position that these topics carry
    lost_upto   partition → the highest position that somebody took away from the topic on purpose
    views       view → rows; documents: view → key → (position, row or None)
    tailed      positions in the order in which a reader that tailed the log saw them, or None

Each law takes one pass over them: positions say in which order everything happened, so nothing must be searched for.
"""

import hashlib
import struct
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from tests.chaos import arithmetic

PARTITIONS = 12
TRIGGERS = {
    "ordering.order_placed.v3": ["fulfilment"],
    "ordering.order_cancelled.v1": ["fulfilment", "credit-holds"],
    "ordering.order_rejected.v2": ["credit-holds"],
    "ordering.order_shipped.v1": ["fulfilment"],
    "ordering.credit_note_issued.v1": ["restock"],
}
"""Events by type, and the process managers that react to each."""
DOCUMENT_VIEWS = ("product_page", "stock_level", "order_details")


@dataclass
class Evidence:
    """Everything a verdict rests on."""

    attempts: list = field(default_factory=list)
    reads: list = field(default_factory=list)
    log: list = field(default_factory=list)
    topic: list = field(default_factory=list)
    topic_start: int = 1
    lost_upto: dict = field(default_factory=dict)
    views: dict = field(default_factory=dict)
    documents: dict = field(default_factory=dict)
    tailed: list | None = None
    outcomes: list | None = None


@dataclass(frozen=True)
class Violation:
    """A law that does not hold, and where."""

    law: str
    what: str

    def __str__(self):
        return f"{self.law}: {self.what}"


def judge(evidence):
    """Every violation, law by law; an empty list means that all laws hold."""
    laws = {
        "L1": accepted_exists_once,
        "L2": refused_does_not_exist,
        "L3": unknown_converges,
        "L4": positions_have_no_holes,
        "L5": versions_rise,
        "L6": real_time_is_kept,
        "L7": topic_is_the_log,
        "L8": views_are_the_fold,
        "documents": documents_are_the_fold,
        "fresh": fresh_reads_are_fresh,
        "refused": refusals_have_reasons,
        "processes": one_outcome_for_each_trigger,
        "timers": timers_wait_for_what_is_undecided,
        "outcomes": one_kept_outcome_for_each_request,
        "stock": nothing_is_oversold,
        "leaf": leaves_are_recomputed,
        "tail": tailing_skips_nothing,
    }
    return [Violation(law, what) for law, holds in laws.items() for what in holds(evidence)]


def accepted_exists_once(evidence):
    """L1: what was acknowledged is in the log, once, where the answer said."""
    own = _own_events(evidence)
    for command, attempts in _by_command(evidence).items():
        positions = {attempt["position"] for attempt in attempts if attempt["outcome"] == "ok"}
        found = [event["position"] for event in own.get(command, [])]
        effects = attempts[0].get("effects", 1)
        if positions and (len(found) != effects or not positions <= set(found)):
            yield f"{command} was answered with {sorted(positions)}, the log has it at {found}"


def refused_does_not_exist(evidence):
    """L2: what was refused each time it was sent is not in the log."""
    own = _own_events(evidence)
    for command, attempts in _by_command(evidence).items():
        if {attempt["outcome"] for attempt in attempts} == {"fail"} and command in own:
            yield f"{command} was refused, the log has it at {own[command][0]['position']}"
    unheard_of = {command for command, events in own.items() if not all(map(_is_act, events))}
    unheard_of -= _by_command(evidence).keys()
    yield from (f"{command} is in the log and nobody sent it" for command in sorted(unheard_of))


def unknown_converges(evidence):
    """L3: an unknown outcome is no effect or one; every acceptance says the same; none is taken back."""
    own = _own_events(evidence)
    for command, attempts in _by_command(evidence).items():
        if len(own.get(command, [])) > attempts[0].get("effects", 1):
            yield f"{command} is in the log {len(own[command])} times"
        accepted = [attempt for attempt in attempts if attempt["outcome"] == "ok"]
        if len({attempt["answer"] for attempt in accepted}) > 1:
            yield f"{command} has several answers: {sorted({attempt['answer'] for attempt in accepted})}"
        known_at = min((attempt["return"] for attempt in accepted), default=float("inf"))
        for attempt in attempts:
            if attempt["outcome"] == "fail" and attempt["final"] and attempt["invoke"] > known_at:
                yield f"{command} was refused after it had been accepted"


def positions_have_no_holes(evidence):
    """L4: positions are 1..N."""
    positions = [event["position"] for event in evidence.log]
    if positions != list(range(1, len(positions) + 1)):
        wrong = next(index + 1 for index, position in enumerate(positions) if position != index + 1)
        yield f"position {wrong} is missing or double"


def versions_rise(evidence):
    """L5: versions of a stream are 1..n, in the order of positions."""
    reached = Counter()
    for event in evidence.log:
        reached[event["stream"]] += 1
        if event["version"] != reached[event["stream"]]:
            yield f"{event['stream']} has version {event['version']} where {reached[event['stream']]} is due"


def real_time_is_kept(evidence):
    """L6: what was answered before another command was first sent stands before it."""
    begun, known = [], []
    for command, attempts in _by_command(evidence).items():
        accepted = [attempt for attempt in attempts if attempt["outcome"] == "ok"]
        if accepted:
            begun.append((min(attempt["invoke"] for attempt in attempts), accepted[0]["position"], command))
            known.append((min(attempt["return"] for attempt in accepted), accepted[0]["position"]))
    begun.sort()
    known.sort(reverse=True)
    highest = 0
    for invoked, position, command in begun:
        while known and known[-1][0] < invoked:
            highest = max(highest, known.pop()[1])
        if position < highest:
            yield f"{command} stands at {position}, and was sent after {highest} was answered"


def topic_is_the_log(evidence):
    """L7: per partition, without repeats, exactly the log's events, ascending, each linked to the one before."""
    expected = defaultdict(list)
    events = {event["position"]: event for event in evidence.log}
    for event in evidence.log[evidence.topic_start - 1 :]:
        expected[partition_of(event["partition_key"])].append(event["position"])
    carried = defaultdict(list)
    for record in evidence.topic:
        carried[record["partition"]].append(record)
    for source in sorted({*expected, *carried}):
        first = evidence.topic_start - 1
        yield from _carried_wrongly(source, expected[source], carried[source], events, first=first)
        kept = {record["position"] for record in carried[source]}
        allowed = evidence.lost_upto.get(source, 0)
        missing = [position for position in expected[source] if position not in kept and position > allowed]
        if missing:
            yield f"{source} lacks {missing[:5]} ({len(missing)} in all)"


def _carried_wrongly(source, positions, records, events, *, first):
    before = dict(zip(positions, [first, *positions], strict=False))
    last, seen = 0, set()
    for record in records:
        position = record["position"]
        if position not in before:
            yield f"{source} carries {position}, which does not belong there"
            continue
        event = events[position]
        for name in ("stream", "version", "leaf"):
            if record[name] != event[name]:
                yield f"{source} carries {position} with {name} {record[name]}, the log has {event[name]}"
        if record["prev"] != before[position]:
            yield f"{source} links {position} to {record['prev']}, the one before is {before[position]}"
        if position not in seen and position < last:
            yield f"{source} carries {position} for the first time behind {last}"
        seen.add(position)
        last = max(last, position)


def views_are_the_fold(evidence):
    """L8: the rows of every view are what plain arithmetic over the log gives."""
    expected = arithmetic.rows_of(evidence.log)
    for view, names in arithmetic.KEYS.items():
        found = {tuple(row[name] for name in names): row for row in evidence.views.get(view, [])}
        for key in sorted({*expected[view], *found}, key=str):
            wanted, has = expected[view].get(key), found.get(key)
            if wanted is None or has is None:
                yield f"{view} {key}: expected {wanted}, found {has}"
            elif different := _difference(wanted, has):
                yield f"{view} {key}: {different}"


def documents_are_the_fold(evidence):
    """L8 for documents: each is the row that was true at the position it names, or the newest."""
    for view in DOCUMENT_VIEWS:
        histories = arithmetic.histories_of(evidence.log, view=view)
        for key, (position, row) in evidence.documents.get(view, {}).items():
            true = [then for at, then in histories.get((key,), []) if at <= position]
            if row is None or not true:
                yield f"document {view} {key}: {row} at {position} was never true"
            elif different := _difference(true[-1], row):
                yield f"document {view} {key} at {position}: {different}"


def fresh_reads_are_fresh(evidence):
    """An answer that was labelled fresh shows the position asked for, or something later, and was once true."""
    histories = {view: arithmetic.histories_of(evidence.log, view=view) for view in DOCUMENT_VIEWS}
    for read in evidence.reads:
        history = histories[read["view"]].get((read["key"],), [])
        behind = [position for position, _ in history if position <= read["position"]]
        least = behind[-1] if behind else 0
        if not any(not _difference(row, read["document"]) for at, row in history if at >= least):
            yield f"{read['view']} {read['key']} was to be as new as {read['position']}: {read['document']}"


def one_outcome_for_each_trigger(evidence):
    """Every placed order is confirmed, rejected or cancelled, once, and what one trigger caused was one append."""
    results, caused, placed = defaultdict(list), defaultdict(list), {}
    for event in evidence.log:
        kind = event["type"]
        if kind == "ordering.order_placed.v3":
            placed[event["stream"]] = event["position"]
        if kind in {"ordering.order_confirmed.v1", "ordering.order_rejected.v2"}:
            results[event["stream"]].append(kind)
        if kind == "ordering.order_cancelled.v1" and not event["payload"]["was_confirmed"]:
            results[event["stream"]].append(kind)
        if event["causation"] is not None:
            caused[event["causation"], event["actor"]].append(event)
    for stream in placed:
        if len(results[stream]) != 1:
            yield f"{stream} has the outcomes {results[stream]}"
    for (cause, actor), events in caused.items():
        first = events[0]["position"]
        together = [event["position"] for event in events] == list(range(first, first + len(events)))
        if not together or len({event["idempotency"] for event in events}) != 1:
            yield f"{actor} answered {cause} more than once: {[event['position'] for event in events]}"


def timers_wait_for_what_is_undecided(evidence):
    """A timer runs for each order that nobody decided, and for no other.

    No campaign lasts as long as an order may wait, so none is rejected for that, whatever was broken.
    """
    waiting = {}
    for event in evidence.log:
        kind = event["type"]
        if kind == "ordering.order_placed.v3":
            waiting[event["stream"]] = event["position"]
        elif event["stream"] in waiting and kind != "ordering.order_shipped.v1":
            del waiting[event["stream"]]
        if kind == "ordering.order_rejected.v2" and event["payload"]["reason"] != "stock":
            yield f"{event['stream']} was rejected as {event['payload']['reason']} at {event['position']}"
    found = {row["stream"]: row["set_at"] for row in evidence.views.get("timers_fulfilment", [])}
    for stream in sorted({*waiting, *found}):
        if waiting.get(stream) != found.get(stream):
            yield f"{stream} waits since {waiting.get(stream)}, its timer was set at {found.get(stream)}"


def one_kept_outcome_for_each_request(evidence):
    """The log keeps an outcome for every accepted command and every trigger, and none besides."""
    if evidence.outcomes is None:
        return
    triggers = {
        outcome_key(process, event): event
        for event in evidence.log
        for process in TRIGGERS.get(event["type"], ())
    }
    for key in triggers.keys() - set(evidence.outcomes):
        yield f"no outcome is kept for the trigger at {triggers[key]['position']}"
    expected = len(triggers) + sum(map(len, _own_events(evidence).values()))
    if len(evidence.outcomes) != expected:
        yield f"{len(evidence.outcomes)} outcomes are kept, {expected} requests were accepted"


def refusals_have_reasons(evidence):
    """Nobody is refused for what had long ceased to be: an order not yet confirmed or there, an older version."""
    begun, decided, versions = {}, defaultdict(list), defaultdict(list)
    for event in evidence.log:
        versions[event["stream"]].append(event)
        if event["type"] == "ordering.order_placed.v3":
            begun[event["stream"]] = event["position"]
        elif event["stream"] in begun:
            decided[event["stream"]].append(event)
    sent = {
        command: min(each["invoke"] for each in tries) for command, tries in _by_command(evidence).items()
    }
    known = sorted(
        (each["return"], each["position"]) for each in evidence.attempts if each["outcome"] == "ok"
    )
    codes = {"not-confirmed", "order-unknown", "precondition-failed"}
    refused = [each for each in evidence.attempts if each.get("code") in codes]
    highest, index = 0, 0
    for attempt in sorted(refused, key=lambda each: each["invoke"]):
        while index < len(known) and known[index][0] < attempt["invoke"]:
            highest = max(highest, known[index][1])
            index += 1
        stream = attempt["stream"]
        kinds = [event["type"] for event in decided[stream]]
        if attempt["code"] == "order-unknown" and begun.get(stream, highest + 1) <= highest:
            yield f"{attempt['command']}: {stream} was called unknown, it stands at {begun[stream]}"
        if attempt["code"] == "not-confirmed" and kinds == ["ordering.order_confirmed.v1"]:
            at = decided[stream][0]["position"]
            if at <= highest:
                yield f"{attempt['command']}: {stream} was called not confirmed, it is since {at}, {highest} was known"
        if attempt["code"] == "precondition-failed":
            yield from _refused_version(attempt, versions[stream], highest=highest, sent=sent)


def _refused_version(attempt, events, *, highest, sent):
    """A version that was known to be there may only be refused when another one may have come meanwhile."""
    seen = attempt["if_match"]
    if len(events) < seen or events[seen - 1]["position"] > highest:
        return
    later = events[seen]["correlation_id"] if len(events) > seen else None
    if later is None or sent.get(later, 0.0) > attempt["return"]:
        yield f"{attempt['command']}: {attempt['stream']} was called not at version {seen} while it was"


def nothing_is_oversold(evidence):
    """No code ever has fewer than no pieces available, reserved or on hand; orders reserve what they asked for."""
    levels = {"stock_level": {}}
    wanted, reserved = {}, defaultdict(Counter)
    for event in evidence.log:
        body = event["payload"]
        if event["type"].startswith("inventory."):
            arithmetic.apply(levels, event)
            level = levels["stock_level"][body["sku"],]
            if min(level["available"], level["reserved"], level["on_hand"]) < 0:
                yield f"{body['sku']} at {event['position']}: {level}"
        if event["type"] == "inventory.stock_reserved.v1":
            reserved[f"order-{body['order_id']}"][body["sku"]] += body["quantity"]
        if event["type"] == "ordering.order_confirmed.v1":
            codes = {code["sku"]: code["units"] for code in body["skus"] if code["stocked"]}
            wanted[event["stream"]] = codes
    for stream in sorted({*wanted, *reserved}):
        if wanted.get(stream, {}) != dict(reserved[stream]):
            yield f"{stream} was promised {dict(reserved[stream])}, and asked for {wanted.get(stream)}"


def leaves_are_recomputed(evidence):
    """Every leaf is the hash of what its row holds."""
    for event in evidence.log:
        if "entry" in event and leaf_of(event) != event["leaf"]:
            yield f"the leaf at {event['position']} is not that of its row"


def tailing_skips_nothing(evidence):
    """A reader that went on from the last position it saw, under all these faults, saw every event once."""
    tailed = evidence.tailed
    if tailed is not None and tailed != [event["position"] for event in evidence.log]:
        missed = {event["position"] for event in evidence.log}.difference(tailed)
        yield f"a tailing reader missed {sorted(missed)[:5]}, and saw {len(tailed)} of {len(evidence.log)}"


def leaf_of(event):
    """RFC 6962 leaf of an entry, from what the row holds; `entry` is (recorded_at µs, metadata and payload bytes)."""
    recorded_at, metadata, payload = event["entry"]
    stream, name = event["stream"].encode(), event["type"].encode()
    entry = b"".join((
        b"\x01",
        struct.pack(">q", event["epoch"]),
        struct.pack(">i", len(stream)) + stream,
        struct.pack(">q", event["version"]),
        struct.pack(">i", len(name)) + name,
        struct.pack(">q", recorded_at),
        hashlib.sha256(metadata).digest(),
        hashlib.sha256(payload).digest(),
    ))  # fmt: skip
    return hashlib.sha256(b"\x00" + entry).hexdigest()


def outcome_key(process, event):
    """The key (hex) under which a process manager's answer to an event is kept."""
    return hashlib.sha256(f"policy:{process}:{event['epoch']}.{event['position']}".encode()).hexdigest()[:32]


def partition_of(key):
    """Kafka's default partition of a key: murmur2, made positive, modulo the partitions."""
    mask, multiplier, text = 0xFFFFFFFF, 0x5BD1E995, key.encode()
    value = (0x9747B28C ^ len(text)) & mask
    cut = len(text) - len(text) % 4
    for (word,) in struct.iter_unpack("<I", text[:cut]):
        mixed = word * multiplier & mask
        mixed = (mixed ^ mixed >> 24) * multiplier & mask
        value = (value * multiplier & mask) ^ mixed
    rest = text[cut:]
    if rest:
        value = (value ^ int.from_bytes(rest, "little")) * multiplier & mask
    value = (value ^ value >> 13) * multiplier & mask
    return ((value ^ value >> 15) & 0x7FFFFFFF) % PARTITIONS


def _by_command(evidence):
    found = defaultdict(list)
    for attempt in evidence.attempts:
        found[attempt["command"]].append(attempt)
    return found


def _is_act(event):
    """Whether an operator asked for it, who belongs to no crowd."""
    return event["type"].startswith("operations.")


def _own_events(evidence):
    """Command → the events it caused itself; what process managers did later has a cause of its own."""
    found = defaultdict(list)
    for event in evidence.log:
        if event["causation"] is None:
            found[event["correlation_id"]].append(event)
    return found


def _difference(wanted, found):
    """The members in which two rows differ, as text; empty when they say the same."""
    wanted, found = arithmetic.moments(wanted), arithmetic.moments(found)
    names = [name for name in wanted if wanted[name] != found.get(name)]
    return ", ".join(f"{name} is {found.get(name)!r}, expected {wanted[name]!r}" for name in names)
