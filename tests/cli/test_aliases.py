"""``regfs ls``, ``rm`` and ``tag``: what they say of aliases, and what they do to them."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest

from tests.cli.conftest import Regfs
from tests.counting import Counting
from tests.oci import signing
from tests.registries import Lab, Registry
from tests.scenarios.foreign import CREATED, SCHEMA1_SIGNED, TITLE, Foreign, digest_of
from tests.scenarios.views import REGFS
from tests.servers import Answer, Request

FILES = {"a.txt": b"a", "plots/may.csv": b"may", "plots/old/april.csv": b"april"}


@pytest.fixture
def reference(registry: Registry, foreign: Foreign, repository: str) -> str:
    """An alias with some files."""
    foreign.artifact(repository, "v1", FILES)
    return f"{registry.host}/{repository}:v1"


def test_a_registry_lists_its_repositories_and_a_repository_its_aliases(
    regfs: Regfs, registry: Registry, foreign: Foreign, repository: str, reference: str
) -> None:
    foreign.artifact(repository, "v2", FILES)
    foreign.artifact(f"{repository}/nested", "v1", FILES)
    assert {repository, f"{repository}/nested"} <= set(regfs("ls", registry.host).splitlines())
    assert regfs("ls", f"{registry.host}/{repository}") == "v1\nv2\n"


def test_a_namespace_lists_the_repositories_in_it(
    regfs: Regfs, registry: Registry, foreign: Foreign, repository: str
) -> None:
    foreign.artifact(f"{repository}/one", "v1", FILES)
    foreign.artifact(f"{repository}/two", "v1", FILES)
    assert regfs("ls", f"{registry.host}/{repository}") == f"{repository}/one\n{repository}/two\n"
    assert "no repository nix" in regfs.fails("ls", f"{registry.host}/nix")


def test_an_alias_lists_its_files_level_by_level_or_all(regfs: Regfs, reference: str) -> None:
    assert regfs("ls", reference) == "a.txt\nplots/\n"
    assert regfs("ls", reference, "plots/") == "may.csv\nold/\n"
    assert regfs("ls", reference, "plots/may.csv") == "plots/may.csv\n"
    assert regfs("ls", "-R", reference) == "a.txt\nplots/may.csv\nplots/old/april.csv\n"
    assert regfs("ls", "-R", reference.rpartition(":")[0]) == "v1/a.txt\nv1/plots/may.csv\nv1/plots/old/april.csv\n"
    assert "no file nix" in regfs.fails("ls", reference, "nix")


def test_the_long_form_says_size_time_digest_and_type(
    regfs: Regfs, registry: Registry, foreign: Foreign, repository: str
) -> None:
    annotations = {TITLE: "a.json", CREATED: "2001-02-03T04:05:06Z"}
    layer = foreign.layer(repository, b"{} ", mediaType="application/json", annotations=annotations)
    digest = foreign.publish(repository, "v1", [layer])
    line = f"3  2001-02-03T04:05:06Z  {digest_of(b'{} ')}  application/json  a.json\n"
    assert regfs("ls", "-l", f"{registry.host}/{repository}:v1") == line
    assert digest in regfs("ls", "-l", f"{registry.host}/{repository}")
    (item,) = json.loads(regfs("ls", "--json", f"{registry.host}/{repository}:v1"))
    assert item == {
        "name": "a.json",
        "kind": "file",
        "size": 3,
        "created": "2001-02-03T04:05:06Z",
        "digest": digest_of(b"{} "),
        "media_type": "application/json",
    }


def test_a_listing_fetches_no_blob(regfs: Regfs, proxy: Counting, repository: str, reference: str) -> None:
    regfs("ls", "-lR", f"{proxy.url}/{repository}:v1")
    assert proxy.blobs == []


def test_platforms_are_listed_as_directories(
    regfs: Regfs, registry: Registry, foreign: Foreign, repository: str, reference: str
) -> None:
    digest = foreign.digest(repository, "v1")
    foreign.index(repository, "multi", [(digest, {"os": "linux", "architecture": "arm64", "variant": "v8"})])
    multi = f"{registry.host}/{repository}:multi"
    assert regfs("ls", multi) == "linux-arm64-v8/\n"
    assert regfs("ls", multi, "linux-arm64-v8") == "a.txt\nplots/\n"
    assert regfs("ls", "--platform", "linux-arm64-v8", multi) == "a.txt\nplots/\n"


def test_names_are_escaped_on_a_terminal(regfs: Regfs, registry: Registry, foreign: Foreign, repository: str) -> None:
    foreign.artifact(repository, "v1", {"a\u009b31m\u202eb": b""})
    reference = f"{registry.host}/{repository}:v1"
    assert "\u009b" in regfs("ls", reference)
    ours, theirs = pty.openpty()
    command = [sys.executable, REGFS, "ls", reference]
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=theirs, env=regfs.environment, check=True)
    os.close(theirs)
    assert os.read(ours, 1000).strip() == rb"a\x9b31m\u202eb"
    os.close(ours)


def test_a_registry_without_a_catalog_says_what_to_name(
    regfs: Regfs, proxy: Counting, repository: str, reference: str
) -> None:
    def has_none(request: Request) -> Answer | None:
        return Answer(404) if "_catalog" in request.path else None

    proxy.instead = has_none
    assert "name one: " in regfs.fails("ls", proxy.url)
    assert regfs("ls", f"{proxy.url}/{repository}") == "v1\n"


def test_files_are_taken_out_of_an_alias_at_once(
    regfs: Regfs, proxy: Counting, foreign: Foreign, repository: str, reference: str
) -> None:
    foreign.artifact(repository, "v1", {**FILES, "b.txt": b"b"})
    regfs("rm", f"{proxy.url}/{repository}:v1", "a.txt", "plots/may.csv")
    assert foreign.files(repository, "v1") == {"plots/old/april.csv": b"april", "b.txt": b"b"}
    assert sum(request.method == "PUT" for request, _ in proxy.exchanges) == 1


def test_a_directory_is_removed_only_with_r(regfs: Regfs, foreign: Foreign, repository: str, reference: str) -> None:
    assert "-r" in regfs.fails("rm", reference, "plots")
    assert foreign.files(repository, "v1") == FILES
    regfs("rm", "-r", reference, "plots")
    assert foreign.files(repository, "v1") == {"a.txt": b"a"}


def test_a_file_that_is_not_there_removes_none(regfs: Regfs, foreign: Foreign, repository: str, reference: str) -> None:
    assert "no file nix" in regfs.fails("rm", reference, "a.txt", "nix")
    assert foreign.files(repository, "v1") == FILES


def test_an_alias_is_deleted_after_asking_and_no_other_one(
    regfs: Regfs, foreign: Foreign, repository: str, reference: str
) -> None:
    regfs("tag", reference, "v2")
    assert "-y" in regfs.run("rm", reference).stderr
    declined = regfs.run("rm", reference, answer="n\n")
    assert (declined.returncode, foreign.aliases(repository)) == (1, {"v1", "v2"})
    assert regfs.run("rm", reference, answer="y\n").returncode == 0
    assert foreign.aliases(repository) == {"v2"}
    regfs("rm", "-y", reference.replace("v1", "v2"))
    assert foreign.aliases(repository) == set()


def test_what_cannot_be_removed_says_why(
    regfs: Regfs, registry: Registry, foreign: Foreign, repository: str, reference: str
) -> None:
    pinned = f"{registry.host}/{repository}@{foreign.digest(repository, 'v1')}"
    assert "protocol cannot remove" in regfs.fails("rm", "-y", f"{registry.host}/{repository}")
    assert "protocol cannot remove" in regfs.fails("rm", "-y", registry.host)
    assert "for ever" in regfs.fails("rm", "-y", pinned)
    assert "no such tag" in regfs.fails("rm", "-y", f"{registry.host}/{repository}:nix")
    assert foreign.aliases(repository) == {"v1"}


def test_where_deleting_is_off_the_alias_stays(regfs: Regfs, lab: Lab, repository: str) -> None:
    own = lab.start("plain", deletes=False)
    client = Foreign(own)
    before = client.artifact(repository, "v1", FILES)
    assert "405" in regfs.fails("rm", "-y", f"{own.host}/{repository}:v1")
    assert client.digest(repository, "v1") == before
    client.close()
    own.stop()


def test_a_tag_is_the_same_manifest_and_moves_no_bytes(
    regfs: Regfs, proxy: Counting, foreign: Foreign, repository: str, reference: str
) -> None:
    digest = foreign.digest(repository, "v1")
    assert regfs("tag", f"{proxy.url}/{repository}:v1", "latest", "stable") == f"{digest}\n"
    assert {foreign.digest(repository, alias) for alias in ("v1", "latest", "stable")} == {digest}
    assert proxy.blobs == []


def test_a_digest_and_an_index_can_be_tagged(
    regfs: Regfs, registry: Registry, foreign: Foreign, repository: str, reference: str
) -> None:
    digest = foreign.digest(repository, "v1")
    index = foreign.index(repository, "multi", [(digest, {"os": "linux", "architecture": "arm64"})])
    regfs("tag", f"{registry.host}/{repository}@{digest}", "pinned")
    regfs("tag", f"{registry.host}/{repository}:multi", "latest")
    assert foreign.digest(repository, "pinned") == digest
    assert foreign.manifest(repository, "latest") == foreign.manifest(repository, "multi")
    assert foreign.digest(repository, "latest") == index


def test_a_schema_1_alias_is_listed_got_and_tagged(regfs: Regfs, schema1: Registry, repository: str) -> None:
    client = Foreign(schema1)
    blobs = [client.push(repository, content) for content in (b"top", b"bottom")]
    content, _ = signing.signed(signing.document(*blobs, name=repository, tag="v1"))
    client.put(repository, "v1", content, SCHEMA1_SIGNED)
    reference = f"{schema1.host}/{repository}:v1"
    assert "6  " in regfs("ls", "-l", reference)
    regfs("get", reference, "-o", "out")
    assert regfs.files("out") == {blobs[0]: b"top", blobs[1]: b"bottom"}
    regfs("tag", reference, "v2")
    assert client.aliases(repository) == {"v1", "v2"}
    assert "schema 1" in regfs.fails("rm", reference, blobs[0])
    client.close()


@pytest.mark.parametrize(
    ("arguments", "right"),
    [
        (["ls", "HOST/Team/model:v1"], "did you mean 'HOST/team/model:v1'"),
        (["get", "HOST/team/model"], "the form is HOST/team/model:TAG"),
        (["get", "HOST"], "the form is HOST/REPOSITORY:TAG"),
        (["put", "HOST/team/model", "a"], "the form is HOST/team/model:TAG"),
        (["tag", "HOST/team/model:v1", "a/b"], "'a/b' is not a tag"),
        (["ls", "HOST/team/model:v1@sha256:" + 64 * "a"], "keep one: HOST/team/model@sha256:" + 64 * "a"),
        (["ls", "ftp://HOST/team"], "the form is [http://|https://]HOST[:PORT]"),
        (["ls", "HOST/team/model@sha256:12"], "sha256: and 64 hexadecimal digits"),
        (["ls", "fred:secret@HOST/team"], "credentials do not belong"),
        (["put", "HOST/team/model:v1"], "Missing argument"),
    ],
)
def test_a_wrong_reference_is_one_line_with_the_right_form(
    regfs: Regfs, registry: Registry, arguments: list[str], right: str
) -> None:
    told = regfs.fails(*(word.replace("HOST", registry.host) for word in arguments), status=2)
    assert right.replace("HOST[", "\0").replace("HOST", registry.host).replace("\0", "HOST[") in told
    assert "secret" not in told


def test_what_begins_with_no_host_says_that_it_has_to(regfs: Regfs) -> None:
    assert "begins with the host" in regfs.fails("ls", "nohost/model:v1")


@pytest.mark.parametrize("command", ["ls", "get", "put", "rm", "tag"])
def test_the_help_has_examples(regfs: Regfs, command: str) -> None:
    assert f"regfs {command} " in regfs(command, "--help").partition("Options:")[0].partition("\n")[2]


def test_a_user_who_may_not_is_told_to_log_in(regfs: Regfs, htpasswd: Registry) -> None:
    told = regfs.fails("ls", "--ca-file", htpasswd.lab.ca, htpasswd.host)
    assert "refuses the login" in told
