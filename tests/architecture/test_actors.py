"""Everything that appends names who does, in one format."""

import ast

from tests.architecture.source import broken, planted, product

APPENDS = ("Call", "Metadata")
"""What carries the actor to the log."""


def unnamed(source):
    """What is built without an actor, or with one spelled on the spot."""
    for node in source.nodes:
        if not isinstance(node, ast.Call) or ast.unparse(node.func).rpartition(".")[2] not in APPENDS:
            continue
        (given,) = [each.value for each in node.keywords if each.arg == "actor"] or [None]
        if given is None or not _is_named(given):
            yield source.at(node, f"{ast.unparse(node.func)} without an actor of `runtime.actors`")


def _is_named(given):
    """Whether it is made by `actor`, or handed on."""
    if isinstance(given, ast.Call):
        return ast.unparse(given.func) == "actor"
    return isinstance(given, ast.Attribute) and given.attr.removeprefix("_") == "actor"


def test_every_append_names_its_actor_in_one_format():
    among = [source for source in product() if not source.path.startswith("counterfoil/testing/")]

    assert "" == broken(unnamed, among=among)


def test_an_actor_that_is_missing_or_spelled_on_the_spot_is_found():
    assert planted(unnamed, "Metadata(command='x')")
    assert planted(unnamed, "calls.Call(actor=f'policy:{name}')")
    assert not planted(unnamed, "Metadata(actor=actor('process', name))")
    assert not planted(unnamed, "Call(actor=sent.principal.actor)")


def unattributed(source):
    """What follows from another event and does not name on whose behalf."""
    for node in source.nodes:
        if not isinstance(node, ast.Call) or ast.unparse(node.func).rpartition(".")[2] not in APPENDS:
            continue
        names = {each.arg for each in node.keywords}
        if "causation" in names and "on_behalf_of" not in names:
            yield source.at(node, f"{ast.unparse(node.func)} with a cause and without `on_behalf_of`")


def test_what_follows_from_an_event_names_on_whose_behalf():
    among = [source for source in product() if not source.path.startswith("counterfoil/testing/")]

    assert "" == broken(unattributed, among=among)


def test_a_cause_without_its_principal_is_found():
    assert planted(unattributed, "Call(actor=actor('timer', name), causation=cause.event)")
    assert not planted(unattributed, "Call(causation=cause.event, on_behalf_of=cause.principal)")
