"""Logging in as docker, podman and skopeo do on the same machine; and the tokens that come of it."""

from __future__ import annotations

import base64
import itertools
import json
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from regfs.registry.config.credentials import Credentials
from regfs.registry.http.auth import Access, Credential
from regfs.registry.http.remote import Remote
from regfs.registry.http.tls import Certificates
from regfs.registry.http.transport import PooledTransport, check_status
from tests.logs import LEFT_OUT
from tests.registries import PASSWORD, USER, Lab, Registry, TokenServer
from tests.scenarios.views import REGFS, Mounted, environment, refused
from tests.security.conftest import NewServer, within
from tests.servers import Answer, Request, forward

AUTH = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
FRED = Credential(USER, PASSWORD)
_numbers = itertools.count()
HELPER = """#!/bin/sh
read -r key
echo "$1 $key" >> "$HOME/helper.log"
case "$1" in
get) [ -f "$HOME/secret" ] || { echo "credentials not found in native keychain"; exit 1; }; cat "$HOME/secret" ;;
store) printf '%s' "$key" > "$HOME/secret" ;;
erase) rm -f "$HOME/secret" ;;
esac
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The user's home, with a credential helper on PATH."""
    (tmp_path / "bin").mkdir()
    helper = tmp_path / "bin" / "docker-credential-own"
    helper.write_text(HELPER)
    helper.chmod(0o755)
    return tmp_path


def env(home: Path, **more: str) -> dict[str, str]:
    """The environment of the user's commands."""
    given = {k: v for k, v in environment(home).items() if k not in ("REGISTRY_AUTH_FILE",)}
    return {**given, "PATH": f"{home}/bin:{os.environ['PATH']}", "XDG_RUNTIME_DIR": str(home / "run"), **more}


def write(path: Path, document: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def regfs(environment: dict[str, str], *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, REGFS, *arguments], input=stdin, capture_output=True, text=True, env=environment, check=False
    )


def skopeo(lab: Lab, environment: dict[str, str], verb: str, *arguments: str, stdin: str = "") -> str:
    """Run skopeo, which has to succeed."""
    certs = Path(environment["HOME"], "certs")
    certs.mkdir(exist_ok=True)
    (certs / "ca.crt").write_text(Path(lab.ca).read_text())
    option = "--dest-cert-dir" if verb == "copy" else "--cert-dir"
    done = subprocess.run(
        ["skopeo", verb, option, str(certs), *arguments],
        input=stdin, capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def publishes(home: Path, lab: Lab) -> Iterator[Callable[..., None]]:
    """Mounts a registry with an environment, publishes a file, and reads it back with another mount."""
    mounts: list[Path] = []

    def check(registry: Registry, given: dict[str, str], *arguments: str, stdin: str = "") -> str:
        said, name_there = "", f"private{next(_numbers)}"
        for name, action in (("one", "write"), ("two", "read")):
            directory = home / name
            directory.mkdir(exist_ok=True)
            state = {"XDG_STATE_HOME": str(home / name) + "-state", "XDG_CACHE_HOME": str(home / name) + "-cache"}
            done = regfs({**given, **state}, "mount", "--ca-file", lab.ca, *arguments, registry.host, str(directory),
                         stdin=stdin)  # fmt: skip
            assert done.returncode == 0, done.stderr
            mounts.append(directory)
            file = directory / name_there / "v1" / "file"
            if action == "write":
                (directory / f"{name_there}:v1").mkdir()
                (directory / f"{name_there}:v1" / "file").write_bytes(b"content")
            else:
                assert file.read_bytes() == b"content"
            log = Path(state["XDG_STATE_HOME"], "regfs", "log", "mount.log").read_text()
            said += done.stderr + log
            subprocess.run(["fusermount", "-u", "-z", directory], check=True)
            mounts.remove(directory)
        return said

    yield check
    for directory in mounts:
        subprocess.run(["fusermount", "-u", "-z", directory], check=False)


@pytest.fixture(params=["htpasswd", "token"])
def guarded(request: pytest.FixtureRequest, lab: Lab) -> Iterator[Registry]:
    """A registry that asks who is there, in both ways."""
    registry = lab.start(request.param)
    yield registry
    registry.stop()


def document_of(registry: Registry) -> dict[str, Any]:
    return {"auths": {registry.host: {"auth": AUTH}}}


# Where it is found

PLACES: dict[str, Callable[[Path, Any], dict[str, str]]] = {
    "DOCKER_CONFIG": lambda home, d: {"DOCKER_CONFIG": str(write(home / "d/config.json", d).parent)},
    "HOME": lambda home, d: {"X": str(write(home / ".docker/config.json", d))},
    "REGISTRY_AUTH_FILE": lambda home, d: {"REGISTRY_AUTH_FILE": str(write(home / "a.json", d))},
    "XDG_RUNTIME_DIR": lambda home, d: {"X": str(write(home / "run/containers/auth.json", d))},
    "XDG_CONFIG_HOME": lambda home, d: {"XDG_CONFIG_HOME": str(write(home / "c/containers/auth.json", d).parents[1])},
}


@pytest.mark.parametrize("place", list(PLACES))
def test_a_credential_is_found_where_docker_and_podman_keep_it(
    htpasswd: Registry, home: Path, publishes: Callable[..., None], place: str
) -> None:
    publishes(htpasswd, env(home, **PLACES[place](home, document_of(htpasswd))))


@pytest.mark.parametrize("section", ["credHelpers", "credsStore"])
def test_a_helper_program_is_asked(guarded: Registry, home: Path, publishes: Callable[..., None], section: str) -> None:
    write(home / "secret", {"ServerURL": guarded.host, "Username": USER, "Secret": PASSWORD})
    value: Any = "own" if section == "credsStore" else {guarded.host: "own"}
    write(home / ".docker/config.json", {section: value})
    publishes(guarded, env(home))
    assert set((home / "helper.log").read_text().splitlines()) == {f"get {guarded.host}"}


@pytest.mark.parametrize("source", ["file", "helper"])
def test_an_identity_token_is_exchanged(lab: Lab, home: Path, publishes: Callable[..., None], source: str) -> None:
    registry = lab.start("token")
    assert registry.tokens
    if source == "file":
        entry = {"auth": base64.b64encode(b"x:").decode(), "identitytoken": TokenServer.identity_token}
        write(home / ".docker/config.json", {"auths": {registry.host: entry}})
    else:
        write(home / "secret", {"Username": "<token>", "Secret": TokenServer.identity_token})
        write(home / ".docker/config.json", {"credsStore": "own"})
    publishes(registry, env(home))
    posted = [query for _, query in registry.tokens.requests if "grant_type" in query]
    assert posted
    assert posted[0]["grant_type"] == ["refresh_token"]
    assert posted[0]["service"] == ["Docker registry"]
    registry.stop()


def test_an_entry_of_a_repository_goes_before_its_registrys(home: Path) -> None:
    def entry(name: str) -> dict[str, str]:
        return {"auth": base64.b64encode(f"{name}:x".encode()).decode()}

    auths = {"h:1": entry("all"), "h:1/team": entry("team"), "h:1/team/model": entry("model")}
    path = write(home / "a.json", {"auths": auths})
    found = Credentials({"REGISTRY_AUTH_FILE": str(path), "HOME": str(home)})
    names = [found.find("h:1", repository) for repository in ("", "other", "team/x", "team/model", "teams")]
    assert [one.username if one else None for one in names] == ["all", "all", "team", "model", "all"]


@pytest.mark.parametrize("given", ["stdin", "environment"])
def test_a_user_name_and_a_password_from_elsewhere_than_the_arguments(
    htpasswd: Registry, home: Path, publishes: Callable[..., None], given: str
) -> None:
    if given == "stdin":
        publishes(htpasswd, env(home), "--username", USER, stdin=f"{PASSWORD}\n")
    else:
        publishes(htpasswd, env(home, REGFS_PASSWORD=PASSWORD), "--username", USER)


def test_nobody_in_particular_reads_what_is_public(lab: Lab, home: Path, mount: Callable[..., Mounted]) -> None:
    registry = lab.start("token")
    view = mount(registry.host, ca_file=lab.ca)
    with refused(13, 2):
        view.list("private")
    registry.stop()


BROKEN = ["not JSON", '{"auths": ' + "[" * 100_000]


@pytest.mark.parametrize("content", BROKEN)
def test_a_broken_file_is_one_warning_and_left_out(
    htpasswd: Registry, home: Path, publishes: Callable[..., str], content: str
) -> None:
    bad = write(home / "bad.json", content)
    write(home / ".docker/config.json", document_of(htpasswd))
    said = publishes(htpasswd, env(home, REGISTRY_AUTH_FILE=str(bad)))
    assert said.count(str(bad)) == 2  # one for each of two mounts


ANSWERS = ["", "[]", '{"Username": 1, "Secret": 2}', '{"Username": "a"}', "[" * 100_000]


@pytest.mark.parametrize("answer", [*ANSWERS, '{"Username": "\\ud800", "Secret": ""}'])
@pytest.mark.logs(LEFT_OUT)
def test_a_helper_that_does_not_answer_as_one_is_left_out(home: Path, answer: str) -> None:
    write(home / "secret", answer)
    write(home / ".docker/config.json", {"credsStore": "own"})
    assert Credentials(env(home)).find("h:1") is None


@pytest.mark.logs(LEFT_OUT)
@pytest.mark.parametrize("name", ["missing", "../../evil", "a b", "x\0y"])
def test_a_helper_that_cannot_be_run_is_left_out(home: Path, name: str) -> None:
    write(home / ".docker/config.json", {"credsStore": name})
    assert Credentials(env(home)).find("h:1") is None


# Login and logout


def test_what_regfs_login_wrote_is_used_by_skopeo_and_by_regfs(
    guarded: Registry, home: Path, lab: Lab, publishes: Callable[..., None]
) -> None:
    given = env(home)
    done = regfs(given, "login", "--ca-file", lab.ca, "--username", USER, guarded.host, stdin=f"{PASSWORD}\n")
    assert done.returncode == 0, done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    path = home / ".docker/config.json"
    assert (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode)) == (0o600, 0o700)
    publishes(guarded, given)
    name = next(path.name for path in (guarded.root / "docker/registry/v2/repositories").iterdir())
    assert "Tags" in skopeo(lab, given, "list-tags", f"docker://{guarded.host}/{name}")
    assert "Tags" in skopeo(lab, given, "list-tags", "--authfile", str(path), f"docker://{guarded.host}/{name}")
    assert regfs(given, "logout", guarded.host).returncode == 0
    assert AUTH not in path.read_text()


@pytest.mark.parametrize("authfile", [True, False])
def test_what_skopeo_login_wrote_is_used(
    htpasswd: Registry, home: Path, lab: Lab, publishes: Callable[..., None], authfile: bool
) -> None:
    (home / "run").mkdir(mode=0o700)
    given = env(home, **({"REGISTRY_AUTH_FILE": str(home / "auth.json")} if authfile else {}))
    skopeo(lab, given, "login", "--username", USER, "--password-stdin", htpasswd.host, stdin=PASSWORD)
    publishes(htpasswd, given)


def test_a_login_that_is_refused_is_not_kept(htpasswd: Registry, home: Path, lab: Lab) -> None:
    done = regfs(env(home), "login", "--ca-file", lab.ca, "--username", USER, htpasswd.host, stdin="wrong\n")
    assert done.returncode == 1
    assert not (home / ".docker").exists()


def test_login_and_logout_go_through_the_helper_that_the_user_has(htpasswd: Registry, home: Path, lab: Lab) -> None:
    write(home / ".docker/config.json", {"credsStore": "own"})
    given = env(home)
    done = regfs(given, "login", "--ca-file", lab.ca, "--username", USER, htpasswd.host, stdin=f"{PASSWORD}\n")
    assert done.returncode == 0, done.stderr
    assert json.loads((home / "secret").read_text())["Secret"] == PASSWORD
    assert AUTH not in (home / ".docker/config.json").read_text()
    regfs(given, "logout", htpasswd.host)
    assert not (home / "secret").exists()


def test_a_file_that_cannot_be_read_is_not_written_over(htpasswd: Registry, home: Path, lab: Lab) -> None:
    path = write(home / ".docker/config.json", "not JSON")
    done = regfs(env(home), "login", "--ca-file", lab.ca, "--username", USER, htpasswd.host, stdin=f"{PASSWORD}\n")
    assert done.returncode == 1
    assert path.read_text() == "not JSON"


# Tokens


@pytest.fixture
def remote(lab: Lab) -> Iterator[Callable[..., Remote]]:
    """Makes clients of fred's."""
    made: list[Remote] = []

    def make(host: str, credential: Credential | None = FRED) -> Remote:
        tls = Certificates((lab.ca,)).context()
        transport = PooledTransport(tls=tls, timeout=5, retries=0, credential=lambda repository: credential)
        made.append(Remote(host, False, transport))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_sixteen_threads_ask_for_one_token(lab: Lab, remote: Callable[..., Remote]) -> None:
    registry = lab.start("token")
    assert registry.tokens
    one = remote(registry.host)
    threads = [threading.Thread(target=one.aliases, args=("some/repository",)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(registry.tokens.requests) == 1
    registry.stop()


def test_each_scope_has_its_token(lab: Lab, remote: Callable[..., Remote]) -> None:
    registry = lab.start("token")
    assert registry.tokens
    one = remote(registry.host)
    for _ in range(3):
        one.push_blob("r", b"content", "sha256:ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73")
        one.aliases("r")
        one.aliases("s")
    assert len(registry.tokens.requests) == 3
    registry.stop()


def test_a_token_is_renewed_before_it_expires_without_a_refusal(
    lab: Lab, remote: Callable[..., Remote], serve: NewServer
) -> None:
    registry = lab.start("token", token_lifetime=2)
    assert registry.tokens
    front = serve(forward(registry.host, lab.client_context()), lab.server_context())
    one = remote(front.host)
    one.aliases("r")
    before = len([answer for _, answer in front.exchanges if answer.status == 401])
    time.sleep(1.8)
    one.aliases("r")
    assert len(registry.tokens.requests) == 2
    assert len([answer for _, answer in front.exchanges if answer.status == 401]) == before
    registry.stop()


def test_a_refusal_in_the_middle_of_an_upload_is_one_new_token(
    lab: Lab, remote: Callable[..., Remote], serve: NewServer
) -> None:
    registry = lab.start("token")
    assert registry.tokens
    onward, refusals = forward(registry.host, lab.client_context()), [1]
    challenge = f'Bearer realm="{registry.tokens.realm}",service="Docker registry",scope="repository:r:pull,push"'

    def answer(request: Request) -> Answer:
        if request.method == "PUT" and refusals:
            refusals.pop()
            return Answer(401, (("WWW-Authenticate", challenge),))
        return onward(request)

    one = remote(serve(answer, lab.server_context()).host)
    digest = "sha256:ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"
    one.push_blob("r", b"content", digest)
    assert len(registry.tokens.requests) == 2
    with one.source("r", digest).open(0, 7, 7) as body:
        buffer = memoryview(bytearray(7))
        assert body.read_into(buffer) == 7
    assert bytes(buffer) == b"content"
    registry.stop()


@pytest.mark.logs(r"^stat /private:v1: unauthorized$")
def test_too_few_rights_are_eacces_and_no_loop(lab: Lab, mount: Callable[..., Mounted]) -> None:
    registry = lab.start("token")
    assert registry.tokens
    view = mount(registry.host, ca_file=lab.ca)
    before = len(registry.tokens.requests)
    with within(5), refused(13):
        view.mkdir("private:v1")
        view.write_bytes("private:v1/file", b"content")
    assert len(registry.tokens.requests) - before < 12
    registry.stop()


SHAPES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "only token": lambda d: {"token": d["token"], "expires_in": 60},
    "only access_token": lambda d: {"access_token": d["token"], "expires_in": 60},
    "no expires_in": lambda d: {"token": d["token"]},
    "odd expires_in": lambda d: {**d, "expires_in": "soon", "issued_at": 5},
}


@pytest.mark.parametrize("shape", list(SHAPES))
def test_token_servers_that_answer_in_other_ways_work(lab: Lab, remote: Callable[..., Remote], shape: str) -> None:
    registry = lab.start("token")
    assert registry.tokens
    registry.tokens.shape = SHAPES[shape]
    assert remote(registry.host).aliases("r") is None
    registry.stop()


@pytest.mark.parametrize(
    "challenge",
    [
        'Bearer realm="{realm}"',
        'Bearer realm="{realm}",scope="repository:r:push,pull"',
        'bearer  scope = "repository:r:pull" , REALM="{realm}", service=""',
        'Basic realm="r", Bearer realm="{realm}",service="s"',
        'Bearer realm="{realm}",error="invalid_token"',
    ],
)
def test_challenges_that_leave_something_out_are_answered(
    lab: Lab, remote: Callable[..., Remote], serve: NewServer, challenge: str
) -> None:
    tokens = serve(lambda request: Answer(200, (), b'{"token": "good"}'), lab.server_context())
    text = challenge.format(realm=f"https://{tokens.host}/token")

    def answer(request: Request) -> Answer:
        if request.headers.get("authorization") != "Bearer good":
            return Answer(401, (("WWW-Authenticate", text),))
        return Answer(200, (), b'{"tags": ["v1"]}')

    assert remote(serve(answer, lab.server_context()).host).aliases("r") == ["v1"]
    assert len(tokens.requests) == 1


def test_a_registry_that_refuses_every_token_is_asked_twice(
    lab: Lab, remote: Callable[..., Remote], serve: NewServer
) -> None:
    count = iter(range(1000))
    tokens = serve(lambda request: Answer(200, (), b'{"token": "t%d"}' % next(count)), lab.server_context())
    challenge = (("WWW-Authenticate", f'Bearer realm="https://{tokens.host}/token",error="insufficient_scope"'),)
    registry = serve(lambda request: Answer(401, challenge), lab.server_context())
    one = remote(registry.host)
    with pytest.raises(Exception, match="unauthorized"):
        check_status(one._transport.send("get", f"https://{registry.host}/v2/", access=Access("r")))
    assert (len(registry.requests), len(tokens.requests)) == (2, 1)
