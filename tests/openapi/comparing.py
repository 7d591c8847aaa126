"""What changed between two OpenAPI documents, and whether clients made for the old one still work with the new one.

A request may only be taken more widely, an answer may only become narrower; what a generated client calls by name
keeps its name. Words for people do not count.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

Node = dict[str, Any]

LOWER_BOUNDS: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems")
UPPER_BOUNDS: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")
SUNSET: Final = "x-sunset"


class Way(Enum):
    """Which way a schema travels: what callers send, or what they are answered."""

    REQUEST = "request"
    ANSWER = "answer"


@dataclass(frozen=True)
class Change:
    """One difference, and where it is."""

    where: str
    what: str
    breaking: bool

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def compare(old: Node, new: Node, *, today: dt.date) -> list[Change]:
    """All changes from one document to the other."""
    comparison = _Comparison(old, new, today)
    comparison.documents()
    return comparison.changes


def operations(document: Node) -> Iterator[tuple[str, Node]]:
    """Every operation by method and path."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", operation


@dataclass
class _Comparison:
    old: Node
    new: Node
    today: dt.date
    changes: list[Change] = field(default_factory=list)
    seen: set[tuple[str, str, Way]] = field(default_factory=set)

    def documents(self) -> None:
        before, now = dict(operations(self.old)), dict(operations(self.new))
        for where in before.keys() - now.keys():
            self._note(where, "the operation is gone", breaking=not self._is_past(before[where]))
        for where in now.keys() - before.keys():
            self._note(where, "a new operation", breaking=False)
        for where in before.keys() & now.keys():
            self._operation(where, before[where], now[where])
        if {} in self.old["security"] and {} not in self.new["security"]:
            self._note("security", "callers have to say who they are", breaking=True)
        self.changes.sort(key=str)

    def _is_past(self, operation: Node) -> bool:
        """Whether an operation was announced to end, and that day has come."""
        return SUNSET in operation and dt.date.fromisoformat(operation[SUNSET]) <= self.today

    def _operation(self, where: str, old: Node, new: Node) -> None:
        for name in ("operationId", "tags"):  # the names of functions and modules in generated clients
            if old[name] != new[name]:
                self._note(where, f"{name} is {new[name]} instead of {old[name]}", breaking=True)
        self._parameters(where, old, new)
        self._body(where, old.get("requestBody"), new.get("requestBody"))
        self._problems(where, old["responses"], new["responses"])
        for status in (each for each in old["responses"] if each < "4"):
            answer = new["responses"].get(status)
            if answer is None:
                self._note(where, f"{status} is no longer answered", breaking=True)
            else:
                self._answer(f"{where} {status}", old["responses"][status], answer)

    def _parameters(self, where: str, old: Node, new: Node) -> None:
        before, now = _named(self.old, old), _named(self.new, new)
        for name in before.keys() - now.keys():
            self._note(where, f"the parameter {name} is gone", breaking=True)
        for name in now.keys() - before.keys():
            required = now[name].get("required", False)
            self._note(where, f"a new {'required ' * required}parameter {name}", breaking=required)
        for name in before.keys() & now.keys():
            if now[name].get("required", False) and not before[name].get("required", False):
                self._note(where, f"the parameter {name} is required now", breaking=True)
            self._schema(f"{where} {name}", before[name]["schema"], now[name]["schema"], Way.REQUEST)

    def _body(self, where: str, old: Node | None, new: Node | None) -> None:
        required = bool(new and new.get("required"))
        if old is None or new is None:
            if old is not new:
                said = "is no longer taken" if new is None else "is taken"
                self._note(where, f"a body {said}", breaking=new is None or required)
            return
        if required and not old.get("required"):
            self._note(where, "the body is required now", breaking=True)
        self._contents(where, old["content"], new["content"], Way.REQUEST)

    def _answer(self, where: str, old: Node, new: Node) -> None:
        for name in old.get("headers", {}).keys() - new.get("headers", {}).keys():
            self._note(where, f"the header {name} is gone", breaking=True)
        for name in new.get("headers", {}).keys() - old.get("headers", {}).keys():
            self._note(where, f"a new header {name}", breaking=False)
        self._contents(where, old.get("content", {}), new.get("content", {}), Way.ANSWER)

    def _contents(self, where: str, old: Node, new: Node, way: Way) -> None:
        for name in old.keys() - new.keys():
            self._note(where, f"the media type {name} is gone", breaking=True)
        for name in new.keys() - old.keys():
            self._note(where, f"a new media type {name}", breaking=False)
        for name in old.keys() & new.keys():
            self._schema(where, old[name]["schema"], new[name]["schema"], way)

    def _problems(self, where: str, old: Node, new: Node) -> None:
        """Clients rely on the codes of problems, and each has one status."""
        before, now = _codes(old), _codes(new)
        for code, status in before.items():
            if now.get(code) != status:
                self._note(where, f"the problem {code} is no longer {status}", breaking=True)
        for code in now.keys() - before.keys():
            self._note(where, f"a new problem {code}", breaking=False)

    def _schema(self, where: str, old: Node, new: Node, way: Way) -> None:
        before, now = old.get("$ref", ""), new.get("$ref", "")
        if before and now:
            if (before, now, way) in self.seen:
                return
            self.seen.add((before, now, way))
            if before != now:
                self._note(
                    where, f"the type is called {_last(now)} instead of {_last(before)}", breaking=True
                )
            where = f"{way.value} {_last(now)}"
        olds, news = _alternatives(self.old, old), _alternatives(self.new, new)
        if len(olds) == len(news) == 1:
            self._one(where, *olds.values(), *news.values(), way)
            return
        for name in olds.keys() - news.keys():
            self._narrower(where, f"{name} is no alternative any more", way)
        for name in news.keys() - olds.keys():
            self._wider(where, f"{name} is an alternative now", way)
        for name in olds.keys() & news.keys():
            self._schema(f"{where} {name}", olds[name], news[name], way)

    def _one(self, where: str, old: Node, new: Node, way: Way) -> None:
        before, now = _type(old), _type(new)
        if before != now:
            match before, now:
                case ("integer", "number") | (_, "anything"):
                    self._wider(where, f"the type is {now} instead of {before}", way)
                case ("number", "integer") | ("anything", _):
                    self._narrower(where, f"the type is {now} instead of {before}", way)
                case _:
                    self._note(where, f"the type is {now} instead of {before}", breaking=True)
            return
        self._values(where, _values(old), _values(new), way)
        for name in ("format", "pattern"):
            self._mark(where, name, old.get(name), new.get(name), way)
        for name in LOWER_BOUNDS:
            self._bound(where, name, old.get(name), new.get(name), way, raising=self._narrower)
        for name in UPPER_BOUNDS:
            self._bound(where, name, old.get(name), new.get(name), way, raising=self._wider)
        if way is Way.REQUEST and old.get("default") != new.get("default"):
            self._note(where, f"the default is {new.get('default')!r}", breaking="default" in old)
        if before == "array":
            self._schema(f"{where}[]", old.get("items", {}), new.get("items", {}), way)
        if before == "object":
            self._members(where, old, new, way)

    def _members(self, where: str, old: Node, new: Node, way: Way) -> None:
        before, now = old.get("properties", {}), new.get("properties", {})
        required, required_now = set(old.get("required", ())), set(new.get("required", ()))
        for name in before.keys() - now.keys():
            self._note(f"{where}.{name}", "the member is gone", breaking=True)
        for name in now.keys() - before.keys():
            needed = way is Way.REQUEST and name in required_now
            self._note(f"{where}.{name}", f"a new {'required ' * needed}member", breaking=needed)
        for name in before.keys() & now.keys():
            if name in required_now - required:
                self._narrower(f"{where}.{name}", "the member is always there now", way)
            if name in required - required_now:
                self._wider(f"{where}.{name}", "the member may be left out now", way)
            self._schema(f"{where}.{name}", before[name], now[name], way)
        if _tag(old) != _tag(new):
            self._note(where, "alternatives are distinguished by another member", breaking=True)
        self._others(where, old, new, way)

    def _others(self, where: str, before: Node, now: Node, way: Way) -> None:
        """Members that have no name in the schema."""
        old, new = before.get("additionalProperties", True), now.get("additionalProperties", True)
        if isinstance(old, dict) and isinstance(new, dict):
            self._schema(f"{where}.*", old, new, way)
        elif old != new:
            say = self._narrower if new is False or old is True else self._wider
            say(where, "other members are taken differently", way)

    def _values(self, where: str, old: set[str] | None, new: set[str] | None, way: Way) -> None:
        if old is not None and (new is None or new - old):
            self._wider(where, f"values are added: {sorted(new - old) if new else 'any'}", way)
        if new is not None and (old is None or old - new):
            self._narrower(where, f"values are gone: {sorted(old - new) if old else 'all but a few'}", way)

    def _mark(self, where: str, name: str, old: object, new: object, way: Way) -> None:
        if old == new:
            return
        said = f"the {name} is {new} instead of {old}"
        if old is None:
            self._narrower(where, said, way)
        elif new is None:
            self._wider(where, said, way)
        else:
            self._note(where, said, breaking=True)

    def _bound(self, where: str, name: str, old: Any, new: Any, way: Way, *, raising: Any) -> None:
        """`raising` says what a higher bound means; a bound that was not there was far away."""
        if old == new:
            return
        lower = name in LOWER_BOUNDS
        is_higher = lower if old is None else not lower if new is None else new > old
        other = self._wider if raising == self._narrower else self._narrower
        (raising if is_higher else other)(where, f"{name} is {new} instead of {old}", way)

    def _narrower(self, where: str, what: str, way: Way) -> None:
        self._note(where, what, breaking=way is Way.REQUEST)

    def _wider(self, where: str, what: str, way: Way) -> None:
        self._note(where, what, breaking=way is Way.ANSWER)

    def _note(self, where: str, what: str, *, breaking: bool) -> None:
        self.changes.append(Change(where, what, breaking))


def _resolve(document: Node, node: Node) -> Node:
    while "$ref" in node:
        found = document
        for step in node["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        node = found
    return node


def _last(reference: str) -> str:
    return reference.rpartition("/")[2]


def _named(document: Node, operation: Node) -> dict[str, Node]:
    """The parameters of an operation by place and name."""
    found = [_resolve(document, each) for each in operation.get("parameters", [])]
    return {f"{each['in']} {each['name']}": each for each in found}


def _codes(responses: Node) -> dict[str, str]:
    """The codes of the problems that may be answered, with their status."""
    return {
        code: status
        for status, response in responses.items()
        for content in response.get("content", {}).values()
        if status >= "4"
        for code in content.get("examples", {})
    }


def _alternatives(document: Node, schema: Node) -> dict[str, Node]:
    """What a value may be, each with a name by which it is known again."""
    schema = _resolve(document, schema)
    found: list[Node] = schema.get("oneOf") or schema.get("anyOf") or []
    if isinstance(schema.get("type"), list):
        found = [{**schema, "type": each} for each in schema["type"]]
    if not found:
        return {_type(schema): schema}
    named: dict[str, Node] = {}
    for each in found:
        name = _last(each["$ref"]) if "$ref" in each else _type(each)
        named[name if name not in named else f"{name} {len(named)}"] = each
    return named


def _type(schema: Node) -> str:
    if "type" in schema:
        return str(schema["type"])
    return "string" if _values(schema) is not None else "anything"


def _values(schema: Node) -> set[str] | None:
    if "const" in schema:
        return {str(schema["const"])}
    return {str(each) for each in schema["enum"]} if "enum" in schema else None


def _tag(schema: Node) -> object:
    return schema.get("discriminator", {}).get("propertyName")
