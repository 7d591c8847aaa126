"""Clients and models as other people's tools generate them from our documents, in a directory that is thrown away."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

CONFIG = {
    "post_hooks": [],  # nobody reads the code, so nobody formats it
    "content_type_overrides": {"application/x-ndjson": "text/plain"},  # unknown to the generator
}


def client(document: dict[str, Any], directory: Path, *, name: str) -> ModuleType:
    """The package of a client; a warning of the generator is a failure."""
    package = directory / name
    _run(
        ["openapi_python_client", "generate", "--meta=none", "--fail-on-warning"],
        {"--path": _write(document, directory, name), "--output-path": package},
        config=_write(CONFIG, directory, "config"),
    )
    return importlib.import_module(name)


def models(document: dict[str, Any], directory: Path, *, name: str) -> ModuleType:
    """A module of pydantic models; a warning of the generator is a failure."""
    _run(
        ["datamodel_code_generator", "--input-file-type=openapi", "--formatters=builtin", "--use-annotated"],
        {
            "--input": _write(document, directory, name),
            "--output": directory / f"{name}.py",
            "--output-model-type": "pydantic_v2.BaseModel",
        },
    )
    return importlib.import_module(name)


def _write(content: object, directory: Path, name: str) -> Path:
    path = directory / f"{name}.json"
    path.write_text(json.dumps(content))
    return path


def _run(command: list[str], paths: dict[str, object], *, config: Path | None = None) -> None:
    options = [f"{name}={value}" for name, value in paths.items()]
    options += [] if config is None else [f"--config={config}"]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", *command, *options], capture_output=True, text=True, check=False
    )
    assert (0, "") == (done.returncode, done.stderr), done.stdout + done.stderr
