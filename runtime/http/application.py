"""An application whose every request passes the pipeline: FastAPI declares its routes and documents them."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import cached_property, partial
from typing import Any, Final

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from starlette.datastructures import State
from starlette.types import Message, Receive, Scope, Send

from runtime.http import contract
from runtime.http.access_log import AccessLog
from runtime.http.cors import Cors
from runtime.http.exchange import Exchange
from runtime.http.pipeline import Pipeline, Steps
from runtime.http.principal import Public, requires
from runtime.http.routes import RouteTable, UndeclaredRoute
from runtime.problems import ProblemError
from runtime.telemetry import HttpMetrics
from runtime.version import version

_DOCUMENT: Final = Public("the description of the API")


class _State(State):
    """What the application opened, as ordinary attributes, since routes ask for it with each request.

    One of Starlette's is found behind a look-up that fails, by a method in Python.
    """

    def __setattr__(self, key: Any, value: Any) -> None:
        object.__setattr__(self, key, value)


class PipelineApp(FastAPI):
    """FastAPI for declaring, documenting and the application's life; requests go to the pipeline."""

    def __init__(
        self,
        *,
        steps: Steps,
        problem_of: Callable[[Exception], ProblemError | None],
        metrics: HttpMetrics,
        access_log: AccessLog,
        complete: Callable[[contract.Document, FastAPI], None] = contract.complete,
        origins: Sequence[str] = (),
        **options: Any,
    ) -> None:
        """`complete` adds to FastAPI's document what routes cannot say; pages of `origins` may call.

        `options` are FastAPI's.
        """
        super().__init__(
            openapi_url=None,
            docs_url=None,
            redoc_url=None,
            redirect_slashes=False,
            version=version(),
            telemetry={"tracing": False, "metrics": False, "logs": False},
            **options,
        )
        self.state = _State()
        self._pipelined = partial(
            Pipeline,
            steps=steps,
            problem_of=problem_of,
            metrics=metrics,
            access_log=access_log,
            cors=Cors(origins) if origins else None,
        )
        self._complete = complete
        self.add_api_route("/openapi.json", self._document, methods=["GET"], include_in_schema=False)

    @cached_property
    def pipeline(self) -> Pipeline:
        """The pipeline over the routes declared by now; later ones are not served.

        Raises:
            UndeclaredRoute: something would be served past it.
        """
        if self.user_middleware:
            raise UndeclaredRoute(
                "middleware is not called: what every request needs is a step of the pipeline"
            )
        return self._pipelined(self, RouteTable(self.router.routes, app=self))

    def opened(self) -> AbstractAsyncContextManager[object]:
        """Around the application's life, which does not begin with a route past the pipeline."""
        assert self.pipeline is not None
        return self.router.lifespan_context(self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the application's life, which does not begin with a route past the pipeline."""
        pipeline = self.pipeline
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return

        async def deliver(response: Response) -> int:
            status = response.status_code

            async def sent(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]  # a file that is asked for in part is answered by another
                await send(message)

            if scope["method"] == "HEAD":
                await send(
                    {
                        "type": "http.response.start",
                        "status": response.status_code,
                        "headers": response.raw_headers,
                    }
                )
                await send({"type": "http.response.body", "body": b""})
            else:
                await response(scope, receive, sent)
            return status

        await pipeline.serve(Exchange(scope, receive), deliver)

    def openapi(self) -> contract.Document:
        """The OpenAPI document."""
        if self.openapi_schema is None:
            self._complete(super().openapi(), self)
        assert self.openapi_schema is not None, "FastAPI keeps what it wrote"
        return self.openapi_schema

    @requires(_DOCUMENT)
    async def _document(self) -> Response:
        return JSONResponse(self.openapi())
