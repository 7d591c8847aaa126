"""The rule that programmers write SQL: what reaches the database is constant text or a `psycopg.sql` composition.

It follows an expression back within its module: constants in capitals, names assigned in the same function, attributes
assigned in the same module, parameters and results that are annotated as SQL, whose callers are held to the same.
"""

import ast
from collections.abc import Iterator
from typing import Final

from tests.architecture.source import Source

_SENDS_SQL: Final = frozenset({"execute", "executemany"})
_SENDS_SQL_OF_CURSORS: Final = frozenset({"copy", "stream"})
_SQL_TYPES: Final = ("LiteralString", "sql.SQL", "sql.Composed", "sql.Composable")
_COMPOSERS: Final = frozenset({"sql.SQL", "sql.Composed", "sql.Identifier", "sql.Literal", "sql.Placeholder"})
_KEEPS_COMPOSED: Final = frozenset({"format", "join", "as_bytes", "as_string"})

_NOT_DATABASES: Final = frozenset({"caller", "self.execution", "self._execution", "self._requests"})
"""Receivers of `execute` that execute commands and requests."""

_OWN_TEXT: Final = frozenset(
    {
        ("runtime/migrations.py", "migration.text"),  # the project's own .sql files
        ("runtime/migrations.py", "roles"),
        ("projections/storing.py", "statement"),  # a section of views.sql
        ("projections/storing.py", "name"),  # a type's name out of projections/columns.py
    }
)
"""Text that is constant although its module cannot show it."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def composed_sql(source: Source) -> Iterator[str]:
    """SQL that may hold input."""
    reader = _Reader(source)
    for scope in [source.tree, *(node for node in source.nodes if isinstance(node, Function))]:
        for call in _calls(scope):
            for text in reader.sql_of(call):
                if not reader.is_fixed(text, scope):
                    yield source.at(call, f"SQL that is not constant: {ast.unparse(text)[:80]}")


def _calls(scope: ast.AST) -> Iterator[ast.Call]:
    """Calls of a scope itself, not of the functions inside it."""
    for child in ast.iter_child_nodes(scope):
        if isinstance(child, Function):
            continue
        if isinstance(child, ast.Call):
            yield child
        yield from _calls(child)


class _Reader:
    """What one module says about the origin of its SQL."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._asked: set[tuple[str, int]] = set()
        functions = [node for node in source.nodes if isinstance(node, Function)]
        self._answers_sql = {node.name for node in functions if _is_sql(node.returns)}
        self._takes_sql = {
            node.name: [argument.arg for argument in _arguments(node)].index(parameter.arg)
            for node in functions
            for parameter in _arguments(node)
            if parameter.annotation and "LiteralString" in ast.unparse(parameter.annotation)
        }  # the types of psycopg.sql are mypy's to check; LiteralString is a plain str to it
        self._inside = {
            inner: outer
            for outer in functions
            for inner in ast.walk(outer)
            if isinstance(inner, Function) and inner is not outer
        }
        self._plain_text = {
            target.id
            for node in source.tree.body
            for target, value in _assignments(node)
            if isinstance(target, ast.Name) and isinstance(value, ast.Constant | ast.JoinedStr)
        }

    def sql_of(self, call: ast.Call) -> Iterator[ast.expr]:
        """Arguments of a call that must be fixed SQL."""
        match call.func:
            case ast.Attribute(attr=attr, value=receiver) if attr in _SENDS_SQL:
                if call.args and ast.unparse(receiver) not in _NOT_DATABASES:
                    yield call.args[0]
            case ast.Attribute(attr=attr, value=receiver) if attr in _SENDS_SQL_OF_CURSORS:
                if "cursor" in ast.unparse(receiver):
                    yield from call.args[:1]
        if ast.unparse(call.func) == "sql.SQL":
            yield from call.args[:1]
        name = ast.unparse(call.func).removeprefix("self.")
        place = self._takes_sql.get(name)
        if place is not None and len(call.args) > place:
            yield call.args[place]

    def is_fixed(self, text: ast.expr, scope: ast.AST) -> bool:
        """Whether an expression can only be what a programmer wrote."""
        asked = ast.unparse(text), id(scope)
        if (self._source.path, asked[0]) in _OWN_TEXT or asked in self._asked:
            return True  # a name that is composed from itself is as fixed as its other origins
        self._asked.add(asked)
        try:
            return self._is_fixed(text, scope)
        finally:
            self._asked.discard(asked)

    def _is_fixed(self, text: ast.expr, scope: ast.AST) -> bool:
        match text:
            case ast.Constant():
                return True
            case ast.JoinedStr(values=parts) | ast.Tuple(elts=parts) | ast.List(elts=parts):
                return all(self.is_fixed(part, scope) for part in parts)
            case ast.FormattedValue(value=value):
                return isinstance(value, ast.Name | ast.Attribute) and self.is_fixed(value, scope)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return self.is_fixed(left, scope) and self.is_fixed(right, scope)
            case ast.IfExp(body=body, orelse=other):
                return self.is_fixed(body, scope) and self.is_fixed(other, scope)
            case ast.Call():
                return self._is_composed(text, scope)
            case ast.Name(id=name):
                return name.isupper() or self._is_fixed_name(name, scope)
            case ast.Attribute(attr=name):
                return name.isupper() or self._is_fixed_attribute(name)
            case _:
                return False

    def _is_composed(self, call: ast.Call, scope: ast.AST) -> bool:
        name = ast.unparse(call.func).removeprefix("self.")
        if name in _COMPOSERS or name in self._answers_sql:
            return True  # the argument of sql.SQL is asked about where it stands
        match call.func:
            case ast.Attribute(attr=method, value=ast.Name(id=text)) if method in _KEEPS_COMPOSED:
                return text not in self._plain_text and self.is_fixed(call.func.value, scope)
            case ast.Attribute(attr=method, value=ast.Call() as base) if method in _KEEPS_COMPOSED:
                return self.is_fixed(base, scope)
            case ast.Attribute(value=ast.Name(id=module)):
                return module.islower() and name.rpartition(".")[2] in _ANSWERS_SQL_ELSEWHERE
        return name in _ANSWERS_SQL_ELSEWHERE

    def _is_fixed_name(self, name: str, scope: ast.AST) -> bool:
        if isinstance(scope, Function):
            for argument in _arguments(scope):
                if argument.arg == name:
                    return _is_sql(argument.annotation)
        origins = [
            value
            for node in ast.walk(scope)
            for target, value in _assignments(node)
            if isinstance(target, ast.Name) and target.id == name
        ]
        if not origins and scope in self._inside:
            return self._is_fixed_name(name, self._inside[scope])
        return bool(origins) and all(self.is_fixed(value, scope) for value in origins)

    def _is_fixed_attribute(self, name: str) -> bool:
        origins: list[tuple[ast.expr, ast.AST]] = []
        for scope in (node for node in self._source.nodes if isinstance(node, Function)):
            for node in ast.walk(scope):
                for target, value in _assignments(node):
                    if isinstance(target, ast.Attribute) and target.attr == name:
                        origins.append((value, scope))
                if isinstance(node, ast.keyword) and node.arg == name:
                    origins.append((node.value, scope))
        return bool(origins) and all(self.is_fixed(value, scope) for value, scope in origins)


_ANSWERS_SQL_ELSEWHERE: Final = frozenset(
    {
        "bare_view",
        "index_statements",
        "select_by_ids",
        "select_folded_back",
        "select_holds",
        "select_moved",
        "select_page",
        "select_whole",
    }
)
"""Functions of other modules, annotated as answering SQL; `test_sql` compares this list with their annotations."""


def answers_sql(source: Source) -> Iterator[str]:
    """The functions of a module that are annotated as answering SQL."""
    for node in source.nodes:
        if isinstance(node, Function) and _is_sql(node.returns):
            yield node.name


def trusted_elsewhere() -> frozenset[str]:
    """Functions whose result is taken as SQL in other modules than their own."""
    return _ANSWERS_SQL_ELSEWHERE


def _is_sql(annotation: ast.expr | None) -> bool:
    return annotation is not None and any(name in ast.unparse(annotation) for name in _SQL_TYPES)


def _arguments(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.arg]:
    given = function.args
    arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    return [argument for argument in arguments if argument.arg not in {"self", "cls"}]


def _assignments(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    match node:
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                    yield from zip(target.elts, value.elts, strict=False)
                else:
                    yield target, value
        case (
            ast.AnnAssign(target=target, value=ast.expr() as value)
            | ast.NamedExpr(target=target, value=value)
        ):
            yield target, value
        case ast.AugAssign(target=target, value=value):
            yield target, value
        case ast.For(target=target, iter=value) | ast.comprehension(target=target, iter=value):
            yield target, value
