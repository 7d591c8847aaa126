"""Rules about what the domain may touch and how errors are caught."""

import ast
import sys
from collections.abc import Iterator
from typing import Final

from tests.architecture.source import LEFT_OUT, Source

WRITES_FILES_OF_ITS_OWN: Final = {
    "runtime/durable.py": "the one writer",
    "counterfoil/runfile.py": "a lock and what runs now: gone after a crash, as the processes are",
    "counterfoil/simulators/journal.py": "of a program that is outside",
}
"""Files of the product that open or flush files by descriptor, with the reason."""

IMPURE_MODULES: Final = frozenset(
    [
        "asyncio",
        "concurrent",
        "contextvars",
        "ctypes",
        "getpass",
        "glob",
        "http",
        "io",
        "locale",
        "logging",
        "multiprocessing",
        "os",
        "pathlib",
        "platform",
        "queue",
        "random",
        "secrets",
        "selectors",
        "shutil",
        "signal",
        "socket",
        "sqlite3",
        "ssl",
        "subprocess",
        "sys",
        "tempfile",
        "threading",
        "time",
        "urllib",
        "uuid",
        "warnings",
        "zoneinfo",
    ]
)
"""Parts of the standard library that know the time, chance, the environment or the outside."""

_GATEWAYS_HOSTED_IN: Final = frozenset(
    [
        "counterfoil/api.py",
        "counterfoil/applications.py",
        "counterfoil/context.py",
        "counterfoil/contexts.py",
        "counterfoil/hosting.py",
    ]
)

_HTTP_CLIENTS: Final = frozenset(
    [
        "aiohttp",
        "aiosmtplib",
        "ftplib",
        "http.client",
        "httpx",
        "imaplib",
        "poplib",
        "requests",
        "smtplib",
        "stripe",
        "telnetlib",
        "urllib.request",
        "urllib3",
        "websockets",
        "xmlrpc.client",
    ]
)
"""What speaks to any server of the world."""

_DIALS: Final = frozenset(
    {"create_connection", "create_unix_connection", "open_connection", "open_unix_connection", "urlopen"}
)

_CLIENTS_OF_OURS: Final = (
    "examples/online_retail/",  # the command API and the query API
    "counterfoil/acts/over_http.py",  # both APIs of the installation
    "counterfoil/servers/",  # servers whose address is given
    "devservers/",  # servers that `up` starts, and /readyz of the roles that it started
    "counterfoil/erasing.py",  # the command API of the installation
    "counterfoil/logging_in.py",  # the same
    "counterfoil/probing.py",  # /readyz of the APIs
    "counterfoil/simulators/webhooks.py",  # the shop of a simulated provider
    "counterfoil/testing/http.py",  # an application in the process of a test
    "event_store/proofs/submitting.py",  # witnesses
    "event_store/transport/kafka_client.py",  # Kafka
    "runtime/tracked_documents.py",  # Redis
)

_CLOCK_READINGS: Final = frozenset({"now", "utcnow", "today"})
_BUILTIN_INPUT: Final = frozenset({"open", "input", "print", "exec", "eval", "__import__"})


def foreign_imports(source: Source) -> Iterator[str]:
    """The domain imports itself, msgspec, and the parts of the standard library that are pure."""
    for node, name in imports(source):
        top = name.partition(".")[0]
        if top in {"domain", "msgspec"}:
            continue
        if top not in sys.stdlib_module_names:
            yield source.at(node, f"imports {name}, which is not the domain's")
        elif top in IMPURE_MODULES:
            yield source.at(node, f"imports {name}, which is not pure")


def hidden_input(source: Source) -> Iterator[str]:
    """The domain reads no clock, no chance, no environment: what a decision needs is passed in."""
    for node in source.nodes:
        match node:
            case ast.Call(func=ast.Attribute(attr=attr)) if attr in _CLOCK_READINGS:
                yield source.at(node, f"reads a clock: {ast.unparse(node)}")
            case ast.Call(func=ast.Name(id=name)) if name in _BUILTIN_INPUT:
                yield source.at(node, f"reaches outside: {name}()")


def foreign_gateways(source: Source) -> Iterator[str]:
    """Only senders import gateways; counterfoil declares them and hosts the senders."""
    if source.path.startswith("commands/gateways/") or source.path in _GATEWAYS_HOSTED_IN:
        return
    for node, name in imports(source):
        named = {f"{name}.{alias.name}" for alias in getattr(node, "names", ())} | {name}
        if any(each == "commands.gateways" or each.startswith("commands.gateways.") for each in named):
            yield source.at(node, "imports a gateway and is no sender")


def outside_sockets(source: Source) -> Iterator[str]:
    """Only gateways speak to the outside world; the other clients there are speak to our own servers."""
    if source.path.startswith("commands/gateways/"):
        return
    speaks_to_ours = source.path.startswith(_CLIENTS_OF_OURS)
    for node, name in imports(source):
        named = {name, *(f"{name}.{alias.name}" for alias in getattr(node, "names", ()))}
        if named & _HTTP_CLIENTS and not speaks_to_ours:
            yield source.at(node, f"imports {name}: only gateways call the outside")
    for node in source.nodes:
        match node:
            case ast.Call(func=ast.Attribute(attr=attr) | ast.Name(id=attr)) if attr in _DIALS:
                if not speaks_to_ours:
                    yield source.at(node, f"opens a connection: {ast.unparse(node)}")


def imports(source: Source) -> Iterator[tuple[ast.AST, str]]:
    """Every module that a file imports, with the statement."""
    for node in source.nodes:
        match node:
            case ast.Import(names=names):
                yield from ((node, alias.name) for alias in names)
            case ast.ImportFrom(module=module, level=0) if module:
                yield node, module
            case ast.ImportFrom():
                yield node, "." * node.level + (node.module or "")


def swallowed_errors(source: Source) -> Iterator[str]:
    """No bare except, no empty handler, and a handler of everything raises again or says on that line why not."""
    lines = source.text.splitlines()
    for node in source.nodes:
        match node:
            case ast.ExceptHandler(type=None):
                yield source.at(node, "bare except")
            case ast.ExceptHandler(type=ast.expr() as caught, body=body):
                if all(isinstance(step, ast.Pass) for step in body):
                    yield source.at(
                        node, "an error is swallowed; name what may happen with contextlib.suppress"
                    )
                if (
                    _is_everything(caught)
                    and not _raises(body)
                    and not _reason(lines[node.lineno - 1 : node.lineno + 1])
                ):
                    yield source.at(node, f"catches {ast.unparse(caught)} and does not say why")
            case ast.Call(func=ast.Attribute(attr="suppress") | ast.Name(id="suppress"), args=args):
                for caught in args:
                    if _is_everything(caught):
                        yield source.at(node, f"suppresses {ast.unparse(caught)}")


def _is_everything(caught: ast.expr) -> bool:
    if isinstance(caught, ast.Tuple):
        return any(_is_everything(each) for each in caught.elts)
    return isinstance(caught, ast.Name) and caught.id in {"Exception", "BaseException"}


def _raises(body: list[ast.stmt]) -> bool:
    return any(isinstance(node, ast.Raise) for step in body for node in ast.walk(step))


def _reason(lines: list[str]) -> bool:
    """A comment next to or right below, in words: `# noqa: BLE001 - a fold's failure is parked`."""
    comments = [line.partition("#")[2].replace("noqa: BLE001", "").strip(" -") for line in lines]
    return any(len(comment) > len("because") for comment in comments)


def late_decoders(source: Source) -> Iterator[str]:
    """Decoders of structs are made at an import, or by `runtime/decoders.py`: no two threads make one at once."""
    if source.path == "runtime/decoders.py" or "msgspec" not in source.text:
        return
    functions = [node for node in source.nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    for node in (inner for function in functions for inner in ast.walk(function)):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Attribute(value=ast.Name(id="msgspec")), attr="Decoder")
            ):
                yield source.at(node, "a decoder is made late: runtime.decoders.json_decoder")
            case ast.Call(
                func=ast.Attribute(
                    value=ast.Attribute(value=ast.Name(id="msgspec"), attr="json"), attr="decode"
                ),
                keywords=[
                    ast.keyword(arg="type", value=ast.Name() | ast.Attribute(value=ast.Name(id="self")))
                ],
            ):
                yield source.at(node, "the decoder of a type is made late: runtime.decoders.json_decoder")


def hasty_requests(source: Source) -> Iterator[str]:
    """A call over HTTP says how long it waits: the five seconds of httpx are too few for a machine that is busy."""
    if "httpx" not in source.text:
        return
    for node in source.nodes:
        match node:
            case ast.Call(
                func=ast.Attribute(
                    value=ast.Name(id="httpx"),
                    attr="Client" | "AsyncClient" | "request" | "stream" | "get" | "post" | "put" | "delete",
                ),
                keywords=keywords,
            ) if not {"timeout", "transport", None} & {keyword.arg for keyword in keywords}:
                yield source.at(node, "a call over HTTP without a timeout of its own")


def files_by_descriptor(source: Source) -> Iterator[str]:
    """Files with secrets, and those that must survive a power cut, are written by `runtime/durable.py`."""
    if source.path in WRITES_FILES_OF_ITS_OWN or source.package in LEFT_OUT:
        return
    for node in source.nodes:
        match node:
            case ast.Attribute(value=ast.Name(id="os"), attr="open" | "fsync" | "fdatasync" | "fchmod"):
                yield source.at(node, f"os.{node.attr}: files are written by runtime/durable.py")
            case ast.keyword(arg="mode", value=ast.Constant(value=0o600)):
                yield source.at(node, "a private file is written by runtime/durable.py")
