"""All that processes of the product import before they work, imported once, in the process that they are forked from.

What few of them need (Stripe, the other client of Kafka, the library of the tutorial) each imports itself.
"""

import gc
import importlib

from runtime import without_rich
from tests import forking

MODULES = (
    "commands.app",
    "commands.gateways.carrier",
    "commands.gateways.metrics",
    "commands.gateways.payment.http_provider",
    "commands.gateways.sending",
    "commands.identity.address_book",
    "commands.order_contacts",
    "commands.processes.metrics",
    "commands.processes.runner",
    "commands.processes.timers",
    "commands.security",
    "counterfoil.acts.requesting",
    "counterfoil.applications",
    "counterfoil.auditing",
    "counterfoil.bundling",
    "counterfoil.cli.main",
    "counterfoil.doctor",
    "counterfoil.hosting",
    "counterfoil.recomputing",
    "counterfoil.roles",
    "counterfoil.sealing",
    "counterfoil.serving",
    "counterfoil.simulators.carrier",
    "counterfoil.simulators.payment_provider",
    "counterfoil.status",
    "counterfoil.user_messages",
    "counterfoil.viewing",
    "devservers.standalone",
    "event_store.consumers.tailing",
    "event_store.proofs.auditor",
    "event_store.proofs.key_file",
    "event_store.proofs.sealer",
    "event_store.transport.kafka_transport",
    "event_store.transport.kafka_python_client",
    "event_store.transport.local_transport",
    "event_store.transport.relay",
    "examples.online_retail.cli",
    "examples.online_retail.importing",
    "projections.acts",
    "projections.consumers",
    "projections.metrics",
    "read_api.app",
    "runtime.documents",
)

without_rich.import_structlog()
for _name in MODULES:
    importlib.import_module(_name)

contexts = importlib.import_module("counterfoil.contexts").CONTEXTS
SERVED = (contexts.commands, contexts.receivers, contexts.queries)
"""Contexts import their routes when they are asked for them."""

forking.outlive_who_asks()
gc.collect()
gc.freeze()  # a collection in a forked process would copy the memory of all that was imported
