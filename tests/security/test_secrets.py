"""Passwords, tokens and signatures: looked for everywhere, after everything that a mount does with them."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.logs import A_MOMENT_AGO, NOT_PUSHED, STALE
from tests.registries import PASSWORD, USER, Lab, Registry
from tests.scenarios.views import Mounted, present, run
from tests.security.conftest import NewServer
from tests.servers import Answer, Request, forward

SIGNATURE = "5ignatureOfTheStorage"


def secrets(registry: Registry, handed_out: list[str]) -> set[str]:
    """What must be nowhere: the password in each of its forms, tokens, signatures."""
    pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    return {PASSWORD, quote(PASSWORD), base64.b64encode(PASSWORD.encode()).decode(), pair, SIGNATURE, *handed_out}


@pytest.fixture(params=["htpasswd", "token"])
def guarded(request: pytest.FixtureRequest, lab: Lab) -> Iterator[Registry]:
    """A registry that asks who is there, in both ways."""
    registry = lab.start(request.param)
    yield registry
    registry.stop()


@pytest.mark.logs(
    r"^open /r1/v1/file: \S+ answers (403|500) ",
    STALE,
    A_MOMENT_AGO,
    NOT_PUSHED,
    r": the connection is refused; is a registry running there, on that port\?$",
)
def test_a_secret_is_nowhere_but_where_the_user_put_it(  # noqa: C901 - a whole life of a mount
    guarded: Registry, lab: Lab, serve: NewServer, mount: Callable[..., Mounted], tmp_path: Path
) -> None:
    tokens: list[str] = []
    onward = forward(guarded.host, lab.client_context())
    storage_status = [200]

    def storage(request: Request) -> Answer:
        if storage_status[0] != 200:
            return Answer(storage_status[0])
        digest = request.path.partition("?")[0].rpartition("/")[2]
        return Answer(200, (), CONTENT[digest])

    def registry(request: Request) -> Answer:
        held = request.headers.get("authorization", "").partition(" ")[2]
        tokens.extend([held] if held else [])
        digest = request.path.rpartition("/")[2]
        if request.method == "GET" and "/blobs/sha256:" in request.path and digest in CONTENT:
            where = f"https://127.0.0.1:{behind.host.partition(':')[2]}/{digest}?X-Amz-Signature={SIGNATURE}"
            return Answer(307, (("Location", where),))
        return onward(request)

    behind = serve(storage, lab.server_context())
    front = serve(registry, lab.server_context())
    auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    (tmp_path / "m" / ".docker").mkdir(parents=True)
    (tmp_path / "m" / ".docker" / "config.json").write_text(json.dumps({"auths": {front.host: {"auth": auth}}}))
    view = mount(front.host, tmp_path / "m", ca_file=lab.ca, log_level="debug", retries=1, timeout=2)
    for number in range(3):
        content = f"content {number}".encode() * 10
        view.mkdir(f"r{number}:v1")
        view.write_bytes(f"r{number}:v1/file", content)
        CONTENT["sha256:" + hashlib.sha256(content).hexdigest()] = content
    view.close()
    for path in present(view.cache):
        if path.is_file():
            path.unlink()
    view = mount(front.host, tmp_path / "m", ca_file=lab.ca, log_level="debug", retries=1, timeout=2)
    texts = [Path(f"/proc/{view.pid}/cmdline").read_text()]
    assert view.read_bytes("r0/v1/file")
    for status in (403, 500, 404):
        storage_status[0] = status
        with pytest.raises(OSError) as caught:
            view.read_bytes("r1/v1/file")
        texts.append(f"{caught.value!r}")
    behind.stop()
    with pytest.raises(OSError):
        view.read_bytes("r2/v1/file")
    front.stop()
    with pytest.raises(OSError):
        view.write_bytes("r0/v1/lost", b"precious")
    texts += [run(*command, environment=view.environment).stdout for command in (["pending"], ["cache", "info"])]
    texts.append(view.log())
    view.close()
    for directory in (view.state, view.cache):
        texts += [f"{p} {p.read_bytes().decode(errors='replace')}" for p in present(directory) if p.is_file()]
    failed = run("mount", "--ca-file", lab.ca, front.host, str(view.directory), environment=view.environment)
    texts.append(failed.stdout + failed.stderr)
    everything = "\n".join(texts)
    assert tokens
    assert "r1/v1/file" in everything
    for secret in secrets(guarded, tokens):
        assert secret not in everything, everything[max(0, everything.find(secret) - 300) :][:600]


CONTENT: dict[str, bytes] = {}


def test_the_process_of_a_login_shows_no_password(htpasswd: Registry, lab: Lab, tmp_path: Path) -> None:
    given = {**os.environ, "DOCKER_CONFIG": str(tmp_path / "d"), "REGFS_PASSWORD": PASSWORD, "HOME": str(tmp_path)}
    done = run("login", "--ca-file", lab.ca, "--username", USER, htpasswd.host, environment=given)
    assert done.returncode == 0, done.stderr
    for secret in secrets(htpasswd, []):
        assert secret not in done.stdout + done.stderr


def test_a_password_cannot_be_given_as_an_argument(htpasswd: Registry, tmp_path: Path) -> None:
    with suppress(OSError):
        done = run("mount", "--password", PASSWORD, htpasswd.host, str(tmp_path), environment=os.environ)
        assert done.returncode == 2


def test_a_reference_with_a_password_is_refused_without_telling_it(tmp_path: Path) -> None:
    done = run("mount", f"https://{USER}:{PASSWORD}@localhost:1", str(tmp_path), environment=os.environ)
    assert done.returncode == 2
    assert PASSWORD not in done.stderr
