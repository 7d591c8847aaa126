"""Probes and metrics of an HTTP process as routes; a process without routes has `telemetry.serve_health`."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from runtime.http.principal import Public, requires

_PROBE: Final = Public("probes and metrics, for everybody who can reach the port")


def router(registry: CollectorRegistry, ready: Callable[[], bool]) -> APIRouter:
    """Routes /livez, /readyz and /metrics for an HTTP process.

    Live means that the loop answers; it never asks a server. Ready means that new work is wanted.
    """
    routes = APIRouter(include_in_schema=False)

    @routes.get("/livez")
    @requires(_PROBE)
    async def livez() -> Response:
        return Response("ok\n", media_type="text/plain")

    @routes.get("/readyz")
    @requires(_PROBE)
    async def readyz() -> Response:
        if ready():
            return Response("ready\n", media_type="text/plain")
        return Response("not ready\n", status_code=HTTPStatus.SERVICE_UNAVAILABLE, media_type="text/plain")

    @routes.get("/metrics")
    @requires(_PROBE)
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return routes
