"""``regfs put``: what an alias has afterwards, how it was sent, and that it stays as it was when anything fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import oras.client
import pytest

from tests.cli.conftest import Regfs
from tests.contents import MIB, content_of
from tests.counting import Counting
from tests.links import Link
from tests.registries import Registry
from tests.scenarios.foreign import CREATED, DOCKER_MANIFEST, Foreign, digest_of
from tests.servers import Answer, Request


def test_files_are_called_by_their_names_and_those_of_a_directory_by_their_paths(
    regfs: Regfs, registry: Registry, foreign: Foreign, repository: str
) -> None:
    regfs.write("far/away/a.txt", b"a")
    regfs.write("plots/may.csv", b"may")
    regfs.write("plots/old/april.csv", b"april")
    regfs("put", f"{registry.host}/{repository}:v1", "far/away/a.txt", "plots")
    assert foreign.files(repository, "v1") == {
        "a.txt": b"a", "plots/may.csv": b"may", "plots/old/april.csv": b"april"
    }  # fmt: skip


@pytest.mark.parametrize("arguments", [["plots/."], ["plots", "--title", "."]])
def test_a_directory_can_leave_its_name_out(
    regfs: Regfs, registry: Registry, foreign: Foreign, repository: str, arguments: list[str]
) -> None:
    regfs.write("plots/old/april.csv", b"april")
    regfs("put", f"{registry.host}/{repository}:v1", *arguments)
    assert foreign.files(repository, "v1") == {"old/april.csv": b"april"}


def test_a_title_is_what_a_file_is_called(regfs: Regfs, registry: Registry, foreign: Foreign, repository: str) -> None:
    regfs.write("out-17.bin", b"weights")
    regfs("put", f"{registry.host}/{repository}:v1", "out-17.bin", "--title", "data/weights.bin")
    assert foreign.files(repository, "v1") == {"data/weights.bin": b"weights"}


def test_it_prints_the_digest_of_the_manifest(
    regfs: Regfs, registry: Registry, foreign: Foreign, repository: str
) -> None:
    regfs.write("a.json", b"{}")
    reference = f"{registry.host}/{repository}:v1"
    printed = regfs("put", reference, "a.json")
    assert printed == foreign.digest(repository, "v1") + "\n"
    document = json.loads(regfs("put", "--json", reference, "a.json"))
    assert document == {
        "reference": reference,
        "digest": foreign.digest(repository, "v1"),
        "files": [{"title": "a.json", "digest": digest_of(b"{}"), "size": 2, "media_type": "application/json"}],
    }


def test_oras_pulls_what_was_put(regfs: Regfs, registry: Registry, repository: str, tmp_path: Path) -> None:
    files = {"a.txt": b"a", "plots/may.csv": content_of(MIB)}
    for name, content in files.items():
        regfs.write(f"all/{name}", content)
    regfs("put", f"{registry.host}/{repository}:v1", "all/.")
    client = oras.client.OrasClient(hostname=registry.host, insecure=True)
    client.pull(f"{registry.host}/{repository}:v1", outdir=str(tmp_path / "pulled"))
    assert {name: (tmp_path / "pulled" / name).read_bytes() for name in files} == files


def test_skopeo_copies_what_was_put(regfs: Regfs, registry: Registry, foreign: Foreign, repository: str) -> None:
    regfs.write("a.txt", b"a")
    regfs("put", f"{registry.host}/{repository}:v1", "a.txt")
    insecure = ["--src-tls-verify=false", "--dest-tls-verify=false"]
    images = [f"docker://{registry.host}/{repository}:{alias}" for alias in ("v1", "copy")]
    subprocess.run(["skopeo", "copy", "-q", *insecure, *images], check=True)
    assert foreign.manifest(repository, "copy") == foreign.manifest(repository, "v1")


def test_what_the_alias_has_besides_stays(regfs: Regfs, registry: Registry, foreign: Foreign, repository: str) -> None:
    layers = [
        foreign.layer(repository, b"old", "a.txt", strange=1),
        foreign.layer(repository, b"b", "b.txt"),
        foreign.layer(repository, b"nameless"),
    ]
    foreign.publish(repository, "v1", layers, annotations={"who": "fred"}, artifactType="x/y", strange=[2])
    regfs.write("a.txt", b"new")
    regfs.write("c.txt", b"c")
    regfs("put", f"{registry.host}/{repository}:v1", "a.txt", "c.txt")
    document = foreign.document(repository, "v1")
    assert (document["annotations"], document["artifactType"], document["strange"]) == ({"who": "fred"}, "x/y", [2])
    assert document["layers"][0]["strange"] == 1
    assert document["layers"][1:3] == layers[1:]
    assert list(foreign.files(repository, "v1").values()) == [b"new", b"b", b"nameless", b"c"]


def test_a_files_time_is_kept(regfs: Regfs, registry: Registry, foreign: Foreign, repository: str) -> None:
    os.utime(regfs.write("a.txt", b"a"), (1_000_000_000, 1_000_000_000))
    regfs("put", f"{registry.host}/{repository}:v1", "a.txt")
    assert foreign.document(repository, "v1")["layers"][0]["annotations"][CREATED] == "2001-09-09T01:46:40Z"


def test_putting_the_same_again_changes_nothing_and_sends_nothing(
    regfs: Regfs, proxy: Counting, foreign: Foreign, repository: str
) -> None:
    regfs.write("small", b"a")
    regfs.write("large", content_of(2 * MIB))
    regfs("put", f"{proxy.url}/{repository}:v1", "small", "large")
    before = foreign.digest(repository, "v1")
    proxy.begin()
    assert regfs("put", f"{proxy.url}/{repository}:v1", "small", "large") == before + "\n"
    assert {request.method for request, _ in proxy.exchanges} == {"GET"}


def test_many_files_are_one_manifest_and_two_requests_each(
    regfs: Regfs, proxy: Counting, foreign: Foreign, repository: str
) -> None:
    files = {f"{number:03}.bin": content_of(4096, number) for number in range(40)}
    for name, content in files.items():
        regfs.write(f"all/{name}", content)
    regfs("put", f"{proxy.url}/{repository}:v1", "all/.")
    assert foreign.files(repository, "v1") == files
    methods = [request.method for request, _ in proxy.exchanges if "/blobs/" in request.path]
    assert (methods.count("POST"), methods.count("PUT")) == (41, 41)  # the empty configuration too
    assert methods.count("HEAD") == 1
    assert sum(request.method == "PUT" for request, _ in proxy.exchanges if "/manifests/" in request.path) == 1
    assert proxy.server.connections <= 20


def test_a_large_blob_that_the_repository_has_is_not_sent(
    regfs: Regfs, proxy: Counting, foreign: Foreign, repository: str
) -> None:
    content = content_of(2 * MIB)
    foreign.push(repository, content)
    regfs.write("large", content)
    regfs("put", f"{proxy.url}/{repository}:v1", "large")
    assert foreign.files(repository, "v1") == {"large": content}
    assert sum(len(request.body) for request, _ in proxy.exchanges) < MIB


def test_equal_files_are_sent_once(regfs: Regfs, proxy: Counting, foreign: Foreign, repository: str) -> None:
    content = content_of(4096)
    for number in range(20):
        regfs.write(f"all/{number}", content)
    regfs("put", f"{proxy.url}/{repository}:v1", "all/.")
    assert foreign.files(repository, "v1") == {f"{number}": content for number in range(20)}
    assert sum(request.body == content for request, _ in proxy.exchanges) == 1


def test_an_empty_file_can_be_put(regfs: Regfs, registry: Registry, foreign: Foreign, repository: str) -> None:
    regfs.write("empty", b"")
    regfs("put", f"{registry.host}/{repository}:v1", "empty")
    assert foreign.files(repository, "v1") == {"empty": b""}


def test_links_to_files_are_followed_and_other_links_are_refused(
    regfs: Regfs, registry: Registry, foreign: Foreign, repository: str
) -> None:
    regfs.write("real/a.txt", b"a")
    (regfs.here / "all").mkdir()
    (regfs.here / "all/b.txt").symlink_to("../real/a.txt")
    regfs("put", f"{registry.host}/{repository}:v1", "all")
    assert foreign.files(repository, "v1") == {"all/b.txt": b"a"}
    (regfs.here / "all/more").symlink_to("../real")
    assert "all/more is a link to a directory" in regfs.fails("put", f"{registry.host}/{repository}:v1", "all")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["nix"], "nix: No such file or directory"),
        (["empty"], "there is no file in empty"),
        (["pipe"], "pipe is neither a file nor a directory"),
        (["a.txt", "other/a.txt"], "would both be a.txt"),
        (["a.txt", "--title", "../a"], "cannot be called '../a'"),
        (["a.txt", "--title", ".oci/a"], "cannot be called '.oci/a'"),
        (["control"], "cannot be called"),
        (["a.txt", "--title", "dir"], "has a directory dir"),
        (["a.txt", "--title", "file/a"], "has a file file"),
    ],
)
def test_what_cannot_be_put_is_one_line_and_nothing_is_sent(
    regfs: Regfs, proxy: Counting, foreign: Foreign, repository: str, arguments: list[str], why: str
) -> None:
    foreign.artifact(repository, "v1", {"dir/a": b"1", "file": b"2"})
    before = foreign.digest(repository, "v1")
    for name in ("a.txt", "other/a.txt", "control/a\nb"):
        regfs.write(name, name.encode())
    (regfs.here / "empty").mkdir()
    os.mkfifo(regfs.here / "pipe")
    assert why in regfs.fails("put", f"{proxy.url}/{repository}:v1", *arguments)
    assert {request.method for request, _ in proxy.exchanges} <= {"GET"}
    assert foreign.digest(repository, "v1") == before


def test_aliases_that_cannot_be_changed_are_refused(
    regfs: Regfs, registry: Registry, foreign: Foreign, repository: str
) -> None:
    regfs.write("a", b"a")
    digest = foreign.artifact(repository, "v1", {"b": b"b"})
    foreign.index(repository, "multi", [(digest, {"os": "linux", "architecture": "arm64"})])
    assert "multi-platform" in regfs.fails("put", f"{registry.host}/{repository}:multi", "a")
    assert "a digest stands for the same for ever" in regfs.fails("put", f"{registry.host}/{repository}@{digest}", "a")


def test_too_many_files_are_refused_before_anything_is_sent(
    regfs: Regfs, proxy: Counting, foreign: Foreign, repository: str
) -> None:
    for number in range(1, 20_001):
        regfs.write(f"all/{number:0100}", b"")
    assert "too many for one alias" in regfs.fails("put", f"{proxy.url}/{repository}:v1", "all")
    assert {request.method for request, _ in proxy.exchanges} == {"GET"}


def write_many(regfs: Regfs, number: int, size: int) -> None:
    """Files below ``all``, called by their numbers."""
    for name in range(number):
        regfs.write(f"all/{name}", content_of(size, name))


def test_a_registry_that_refuses_leaves_the_alias_as_it_was(
    regfs: Regfs, proxy: Counting, foreign: Foreign, repository: str
) -> None:
    before = foreign.artifact(repository, "v1", {"a": b"old"})
    write_many(regfs, 30, 1000)
    last = content_of(1000, 29)

    def refuses(request: Request) -> Answer | None:
        return Answer(403) if request.body == last else None

    proxy.instead = refuses
    assert "403" in regfs.fails("put", f"{proxy.url}/{repository}:v1", "all")
    assert foreign.digest(repository, "v1") == before


def test_a_network_that_is_cut_leaves_the_alias_as_it_was(
    regfs: Regfs, registry: Registry, foreign: Foreign, repository: str
) -> None:
    before = foreign.artifact(repository, "v1", {"a": b"old"})
    write_many(regfs, 60, MIB)
    with Link(registry.host) as link:
        process = regfs.start("put", f"http://{link.host}/{repository}:v1", "all")
        sent = registry.root / "docker/registry/v2/repositories" / repository / "_layers/sha256"
        while not sent.is_dir() or len(os.listdir(sent)) < 10:
            time.sleep(0.01)
        link.down()
        began = time.monotonic()
        _, told = process.communicate(timeout=60)
    assert time.monotonic() - began < 45
    assert (process.returncode, len(told.splitlines())) == (1, 1), told
    assert foreign.digest(repository, "v1") == before


def test_a_cut_that_passes_is_not_noticed(regfs: Regfs, registry: Registry, foreign: Foreign, repository: str) -> None:
    files = {f"{number}": content_of(MIB, number) for number in range(12)}
    for name, content in files.items():
        regfs.write(f"all/{name}", content)
    with Link(registry.host, cuts=[MIB // 2] * 4) as link:
        regfs("put", f"http://{link.host}/{repository}:v1", "all/.")
        assert link.made_cuts == 4
    assert foreign.files(repository, "v1") == files


@pytest.mark.parametrize(("number", "status"), [(signal.SIGKILL, -9), (signal.SIGINT, 130), (signal.SIGTERM, -15)])
def test_one_that_is_ended_in_the_middle_leaves_the_alias_as_it_was(
    regfs: Regfs, proxy: Counting, foreign: Foreign, repository: str, number: int, status: int
) -> None:
    before = foreign.artifact(repository, "v1", {"a": b"old"})
    write_many(regfs, 30, 1000)
    sending, ended = threading.Semaphore(0), threading.Event()

    def hangs(request: Request) -> Answer | None:
        if request.method == "PUT":
            sending.release()
            ended.wait(60)
        return None

    proxy.instead = hangs
    process = regfs.start("put", f"{proxy.url}/{repository}:v1", "all")
    for _ in range(8):
        assert sending.acquire(timeout=30)
    began = time.monotonic()
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert time.monotonic() - began < 5  # nothing is waited for
    ended.set()
    assert process.returncode == status
    assert told.strip() == ""
    assert foreign.digest(repository, "v1") == before


def put_while_it_changes(regfs: Regfs, proxy: Counting, repository: str, change: Callable[[Path], object]) -> None:
    """Put a file to which something happens after it was hashed, and is told so."""
    large = regfs.write("large", content_of(3 * MIB))

    def changes(request: Request) -> Answer | None:
        if request.method == "POST":
            change(large)
        return None

    proxy.instead = changes
    assert "large changed while it was read" in regfs.fails("put", f"{proxy.url}/{repository}:v1", "large")


def test_a_file_that_changes_while_it_is_sent_is_one_line(
    regfs: Regfs, proxy: Counting, foreign: Foreign, repository: str
) -> None:
    before = foreign.artifact(repository, "v1", {"a": b"old"})
    put_while_it_changes(regfs, proxy, repository, lambda large: os.truncate(large, MIB))
    assert foreign.digest(repository, "v1") == before


def test_bytes_that_change_under_way_are_one_line(
    regfs: Regfs, proxy: Counting, registry: Registry, repository: str
) -> None:
    put_while_it_changes(regfs, proxy, repository, lambda large: large.write_bytes(content_of(3 * MIB, 7)))
    assert not (registry.root / "docker/registry/v2/repositories" / repository / "_manifests").exists()


def test_two_at_once_lose_nothing(regfs: Regfs, registry: Registry, foreign: Foreign, repository: str) -> None:
    files = {f"{number}": content_of(5000, number) for number in range(60)}
    for name, content in files.items():
        regfs.write(f"{int(name) % 3}/{name}", content)
    processes = [regfs.start("put", f"http://{registry.host}/{repository}:v1", f"{part}/.") for part in range(3)]
    for process in processes:
        _, told = process.communicate(timeout=60)
        assert (process.returncode, told) == (0, "")
    assert foreign.files(repository, "v1") == files


def test_a_registry_that_lost_a_blob_of_the_alias_gets_it_again(
    regfs: Regfs, own_registry: Registry, own_foreign: Foreign, repository: str
) -> None:
    own_foreign.artifact(repository, "v1", {"a": b"a"})
    own_registry.blob_path(digest_of(b"a")).unlink()
    own_registry.restart()
    regfs.write("a", b"a")
    regfs.write("b", b"b")
    regfs("put", f"{own_registry.url}/{repository}:v1", "a", "b")
    assert own_foreign.files(repository, "v1") == {"a": b"a", "b": b"b"}


def test_a_docker_image_gets_a_file_and_stays_an_image(
    regfs: Regfs, registry: Registry, foreign: Foreign, repository: str
) -> None:
    config = foreign.layer(repository, b'{"os": "linux"}')
    document = {"schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "config": config, "layers": []}
    foreign.put(repository, "v1", document, DOCKER_MANIFEST)
    regfs.write("a", b"a")
    regfs("put", f"{registry.host}/{repository}:v1", "a")
    assert foreign.document(repository, "v1")["mediaType"] == DOCKER_MANIFEST
    assert foreign.document(repository, "v1")["config"] == config
    assert foreign.files(repository, "v1") == {"a": b"a"}
