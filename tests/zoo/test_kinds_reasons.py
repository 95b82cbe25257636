"""Reasons reach the user: what the registry says, what a proxy says, and where logins were looked for."""

from __future__ import annotations

import pytest

from tests.servers import Answer
from tests.zoo.backends import Memory
from tests.zoo.calls import Call, error
from tests.zoo.client import Home, login
from tests.zoo.conftest import NewZoo
from tests.zoo.profile import Manifests
from tests.zoo.profiles import artifactory, ecr, harbor, nexus
from tests.zoo.shapes import basic, only

QUOTA = error(403, "DENIED", "project quota exceeded: 10.0 GiB of 10.0 GiB")
PROXY = Answer(503, (("Content-Type", "text/html"),), b"<html><h1>upstream of the proxy is away</h1></html>")


@pytest.mark.parametrize(
    ("kind", "answer", "word"),
    [
        ("upload", QUOTA, "project quota exceeded"),
        ("manifest", error(400, "MANIFEST_INVALID", "unknown artifact type"), "unknown artifact type"),
        ("manifest", error(400, "MANIFEST_INVALID", "manifest invalid", detail={"message": "too many"}), "too many"),
        ("upload", Answer(429, (("Retry-After", "0"),), b'{"errors":[{"code":"TOOMANYREQUESTS",'
                          b'"message":"You have reached your rate limit"}]}'), "You have reached your rate limit"),
        ("upload", PROXY, "upstream of the proxy is away"),
    ],
)  # fmt: skip
def test_a_refused_push_says_why(home: Home, zoo: NewZoo, kind: str, answer: Answer, word: str) -> None:
    """opencontainers/distribution-spec#77, moby/buildkit#3776."""
    with zoo(script=lambda call: answer if call.kind == kind and not call.reads else None) as registry:
        home.write("f", b"content")
        said = home.fails("put", "--retries", "0", f"{registry.host}/a/b:v1", "f")
        assert word in said
        assert "log in" not in said


def test_a_refused_pull_says_why(home: Home, memory: Memory, zoo: NewZoo) -> None:
    memory.artifact("a/b", "v1", {"f": b"content"})
    answer = error(412, "PROJECTPOLICYVIOLATION", "vulnerable image may not be pulled")
    with zoo(script=lambda call: answer if call.kind == "manifest" else None) as registry:
        assert "vulnerable image may not be pulled" in home.fails("get", f"{registry.host}/a/b:v1", "f")
        assert "vulnerable image may not be pulled" in home.fails("ls", f"{registry.host}/a/b:v1")


@pytest.mark.logs(r"project quota exceeded", r"not pushed")
def test_a_mount_keeps_the_reason(home: Home, memory: Memory, zoo: NewZoo) -> None:
    memory.artifact("a/b", "v1", {"f": b"content"})
    script = lambda call: QUOTA if call.kind == "upload" else None  # noqa: E731 - as short as it is
    with zoo(script=script) as registry, home.mount(f"{registry.host}/a/b:v1") as where:
        with pytest.raises(OSError, match=r"."):
            (where / "new").write_bytes(b"new")
        status = home("status")
        assert "project quota exceeded" in status + home.log()
        assert "log in" not in status


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_login_says_where_logins_were_looked_for(home: Home, zoo: NewZoo, status: int) -> None:
    """Each file, and what was found in it."""
    home.docker({"auths": {"elsewhere.example.com": {"auth": login()}}})
    refusal = error(status, "DENIED", "access forbidden")
    with zoo(basic(), script=lambda call: refusal if status == 403 else None) as registry:
        said = home.fails("get", f"{registry.host}/a/b:v1", "f")
        assert str(home.directory / ".docker/config.json") in said
        assert "access forbidden" in said or status == 401


IMMUTABLE = {
    # docker/buildx#663, moby/buildkit#3776
    "ecr": (ecr.immutable, "cannot be overwritten because the repository is immutable"),
    # replicatedhq/kots#5940
    "harbor": (harbor.immutable, "configured as immutable"),
    # GoogleContainerTools/kaniko#1095
    "artifactory": (artifactory.immutable, "HTTP 403 Forbidden"),
    # GoogleContainerTools/jib#3057
    "nexus": (nexus.no_updates, "Repository does not allow updating assets"),
}


@pytest.mark.parametrize("name", IMMUTABLE)
def test_a_tag_that_cannot_be_moved_says_so(home: Home, memory: Memory, zoo: NewZoo, name: str) -> None:
    refuse, word = IMMUTABLE[name]
    memory.artifact("a/b", "v1", {"f": b"content"})
    with zoo(only(manifests=Manifests(immutable=refuse))) as registry:
        home.write("g", b"other")
        assert word in home.fails("put", f"{registry.host}/a/b:v1", "g")
        assert memory.files("a/b", "v1") == {"f": b"content"}


@pytest.mark.parametrize("name", IMMUTABLE)
def test_what_is_there_already_is_not_put_again(home: Home, memory: Memory, zoo: NewZoo, name: str) -> None:
    refuse, _ = IMMUTABLE[name]
    with zoo(only(manifests=Manifests(immutable=refuse))) as registry:
        for file in "abc":
            home.write(f"dir/{file}", file.encode())
        for _ in range(2):
            home("put", f"{registry.host}/a/b:v1", "dir/.")
        home("tag", f"{registry.host}/a/b:v1", "v1")
        puts = [status for method, status in registry.statuses("manifest") if method == "PUT"]
        assert puts == [201]


@pytest.mark.logs(r"configured as immutable", r"not pushed")
def test_a_file_that_cannot_be_published_is_kept(home: Home, memory: Memory, zoo: NewZoo) -> None:
    memory.artifact("a/b", "v1", {"f": b"content"})
    with zoo(only(manifests=Manifests(immutable=harbor.immutable))) as registry:
        with home.mount(f"{registry.host}/a/b") as where, pytest.raises(OSError, match=r"."):
            (where / "v1/g").write_bytes(b"kept")
        assert "v1" in home("pending")
        assert "configured as immutable" in home("pending") + home.log()


def _forbidden(call: Call) -> Answer | None:
    return error(403, "DENIED", "not yours") if call.kind == "tags" else None


def test_a_refused_list_says_why(home: Home, memory: Memory, zoo: NewZoo) -> None:
    memory.artifact("a/b", "v1", {"f": b"content"})
    with zoo(script=_forbidden) as registry:
        assert "not yours" in home.fails("ls", f"{registry.host}/a/b")
