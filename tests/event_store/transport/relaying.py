"""A relay as a process: `python -m tests.event_store.transport.relaying DATABASE_URL BOOTSTRAP CLIENT`."""

import sys
import threading

from prometheus_client import CollectorRegistry

from event_store.consumers import driver
from event_store.transport import relay
from event_store.transport.kafka_transport import KafkaTransport


def main(url, bootstrap, client):
    transport = KafkaTransport(bootstrap, registry=CollectorRegistry(), client=client)
    carrier = relay.consumer(transport, registry=CollectorRegistry())
    driver.run([carrier], database_url=url, stop=threading.Event(), registry=CollectorRegistry())


if __name__ == "__main__":
    main(*sys.argv[1:])
