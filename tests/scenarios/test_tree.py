"""The tree: what is a directory, what is a file, what is listed and what only resolves."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.logs import READ_ONLY
from tests.registries import Registry
from tests.scenarios.foreign import Foreign, digest_of
from tests.scenarios.making import NewView
from tests.scenarios.views import Mounted, View, eventually, refused

AMD64 = {"os": "linux", "architecture": "amd64"}
ARM64 = {"os": "linux", "architecture": "arm64", "variant": "v8"}


def test_the_root_lists_the_first_parts_of_repository_names(view: View, foreign: Foreign, repository: str) -> None:
    foreign.artifact(f"{repository}/deep/er", "v1", {"a": b"a"})
    eventually(lambda: repository in view.list())
    assert all("/" not in name for name in view.list())


def test_a_namespace_lists_what_is_below_it(view: View, foreign: Foreign, repository: str) -> None:
    for name in ("one", "two/three"):
        foreign.artifact(f"{repository}/{name}", "v1", {"a": b"a"})
    eventually(lambda: view.list(repository), ["one", "two"])
    assert view.list(f"{repository}/two") == ["three"]


def test_a_repository_lists_its_aliases(view: View, foreign: Foreign, repository: str) -> None:
    for alias in ("v1", "v2", "May.15_readings-x"):
        foreign.artifact(repository, alias, {"a": b"a"})
    eventually(lambda: view.list(repository), ["May.15_readings-x", "v1", "v2"])


def test_a_namespace_that_is_a_repository_lists_both(view: View, foreign: Foreign, repository: str) -> None:
    foreign.artifact(repository, "v1", {"a": b"a"})
    foreign.artifact(f"{repository}/below", "v2", {"b": b"b"})
    eventually(lambda: view.list(repository), ["below", "v1"])
    assert view.read_bytes(f"{repository}/v1/a") == b"a"
    assert view.read_bytes(f"{repository}/below/v2/b") == b"b"


def test_an_alias_lists_its_files_by_their_titles(view: View, foreign: Foreign, repository: str) -> None:
    foreign.artifact(repository, "v1", {"logger.dat": b"readings", "größe 1.txt": b"x"})
    assert view.list(f"{repository}/v1") == ["größe 1.txt", "logger.dat"]
    assert view.read_bytes(f"{repository}/v1/größe 1.txt") == b"x"


def test_a_title_with_slashes_makes_directories(view: View, foreign: Foreign, repository: str) -> None:
    foreign.artifact(repository, "v1", {"plots/may/1.png": b"1", "plots/june.png": b"june", "plots2": b"2"})
    assert view.list(f"{repository}/v1") == ["plots", "plots2"]
    assert view.list(f"{repository}/v1/plots") == ["june.png", "may"]
    assert view.read_bytes(f"{repository}/v1/plots/may/1.png") == b"1"


def test_a_blob_without_a_title_goes_by_its_digest(view: View, foreign: Foreign, repository: str) -> None:
    foreign.publish(repository, "v1", [foreign.layer(repository, b"nameless"), foreign.layer(repository, b"x", "x")])
    assert view.list(f"{repository}/v1") == [digest_of(b"nameless"), "x"]
    assert view.read_bytes(f"{repository}/v1/{digest_of(b'nameless')}") == b"nameless"


def test_two_layers_of_one_digest_without_titles_are_one_file(view: View, foreign: Foreign, repository: str) -> None:
    layer = foreign.layer(repository, b"twice")
    foreign.publish(repository, "v1", [layer, layer])
    assert view.list(f"{repository}/v1") == [digest_of(b"twice")]


def test_two_titles_of_one_digest_are_two_files(view: View, foreign: Foreign, repository: str) -> None:
    foreign.artifact(repository, "v1", {"a": b"same", "b": b"same"})
    assert view.list(f"{repository}/v1") == ["a", "b"]
    assert view.read_bytes(f"{repository}/v1/a") == view.read_bytes(f"{repository}/v1/b") == b"same"


@pytest.mark.parametrize("layers", [[], None])
def test_an_alias_without_layers_is_an_empty_directory(
    view: View, foreign: Foreign, repository: str, layers: list[object] | None
) -> None:
    foreign.push(repository, b"{}")
    config = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest_of(b"{}"), "size": 2}
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config}
    foreign.put(repository, "v1", {**manifest, "layers": layers})
    assert view.stat(f"{repository}/v1").is_directory
    assert view.list(f"{repository}/v1") == []


def test_a_multi_platform_alias_has_a_directory_for_each_platform(
    view: View, foreign: Foreign, repository: str
) -> None:
    amd64 = foreign.artifact(repository, "amd64", {"program": b"amd64"})
    arm64 = foreign.artifact(repository, "arm64", {"program": b"arm64"})
    foreign.index(repository, "v2", [(amd64, AMD64), (arm64, ARM64)])
    assert view.list(f"{repository}/v2") == ["linux-amd64", "linux-arm64-v8"]
    assert view.list(f"{repository}/v2/linux-arm64-v8") == ["program"]
    assert view.read_bytes(f"{repository}/v2/linux-arm64-v8/program") == b"arm64"


def test_index_entries_without_a_platform_go_by_their_digest(view: View, foreign: Foreign, repository: str) -> None:
    nameless = foreign.artifact(repository, "a", {"file": b"nameless"})
    amd64 = foreign.artifact(repository, "b", {"file": b"amd64"})
    foreign.index(repository, "v2", [(nameless, None), (amd64, AMD64)])
    assert view.list(f"{repository}/v2") == ["linux-amd64", nameless]
    assert view.read_bytes(f"{repository}/v2/{nameless}/file") == b"nameless"


def test_a_repeated_platform_goes_by_its_digest_the_second_time(view: View, foreign: Foreign, repository: str) -> None:
    first = foreign.artifact(repository, "a", {"file": b"first"})
    second = foreign.artifact(repository, "b", {"file": b"second"})
    foreign.index(repository, "v2", [(first, AMD64), (second, AMD64)])
    assert view.list(f"{repository}/v2") == ["linux-amd64", second]
    assert view.read_bytes(f"{repository}/v2/linux-amd64/file") == b"first"
    assert view.read_bytes(f"{repository}/v2/{second}/file") == b"second"


def test_a_hostile_platform_goes_by_its_digest(view: View, foreign: Foreign, repository: str) -> None:
    digest = foreign.artifact(repository, "a", {"file": b"1"})
    foreign.index(repository, "v2", [(digest, {"os": "../..", "architecture": "x"})])
    assert view.list(f"{repository}/v2") == [digest]


def test_an_index_in_an_index_is_a_directory_of_directories(view: View, foreign: Foreign, repository: str) -> None:
    amd64 = foreign.artifact(repository, "a", {"file": b"amd64"})
    inner = foreign.index(repository, "inner", [(amd64, AMD64)])
    foreign.index(repository, "outer", [(inner, None)])
    assert view.read_bytes(f"{repository}/outer/{inner}/linux-amd64/file") == b"amd64"


def test_repository_colon_alias_is_the_alias(view: View, foreign: Foreign, repository: str) -> None:
    foreign.artifact(f"{repository}/deep", "v1", {"a": b"a"})
    assert view.read_bytes(f"{repository}/deep:v1/a") == b"a"
    assert view.list(f"{repository}/deep:v1") == ["a"]


def test_a_name_with_an_alias_is_not_listed(view: View, foreign: Foreign, repository: str) -> None:
    foreign.artifact(f"{repository}/deep", "v1", {"a": b"a"})
    assert view.exists(f"{repository}/deep:v1")
    assert view.list(repository) == ["deep"]


def test_repository_at_digest_is_that_manifest(view: View, foreign: Foreign, repository: str) -> None:
    old = foreign.artifact(repository, "v1", {"a": b"old"})
    foreign.artifact(repository, "v1", {"a": b"new!"})
    assert view.read_bytes(f"{repository}@{old}/a") == b"old"
    assert f"{repository}@{old}" not in view.list()


@pytest.mark.parametrize("name", ["missing", "missing/v1", "missing:v1", "A:v1", ":v1", "@x", f"x@sha256:{'0' * 64}"])
def test_what_is_not_in_the_registry_is_not_there(view: View, repository: str, name: str) -> None:
    with refused(errno.ENOENT):
        view.stat(name.replace("missing", repository))


def test_an_alias_that_is_not_there_is_not_there(view: View, foreign: Foreign, repository: str) -> None:
    digest = foreign.artifact(repository, "v1", {"a": b"a"})
    missing = f"sha256:{'0' * 64}"
    names = ("/v2", ":v2", f"@{missing}", "/v1/b", "/v1/a/b", f"/{digest}", "@v1", f":{digest}")
    assert [name for name in names if _is_there(view, repository + name)] == []


def _is_there(view: View, path: str) -> bool:
    try:
        view.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def test_where_repository_and_alias_share_a_name_it_is_the_repository_and_the_alias_gets_a_colon(
    view: View, foreign: Foreign, repository: str
) -> None:
    foreign.artifact(repository, "b", {"of-the-alias": b"1"})
    foreign.artifact(repository, "other", {"of-the-other": b"2"})
    foreign.artifact(f"{repository}/b", "v1", {"of-the-repository": b"3"})
    eventually(lambda: view.list(repository), ["b", "other"])
    eventually(lambda: f"{repository}:b" in view.list())
    assert f"{repository}:other" not in view.list()
    assert view.list(f"{repository}/b") == ["v1"]
    assert view.read_bytes(f"{repository}:b/of-the-alias") == b"1"


def test_the_manifest_can_be_read_byte_for_byte(view: View, foreign: Foreign, repository: str) -> None:
    foreign.artifact(repository, "v1", {"a": b"a"}, annotations={"größe": "1"})
    content = foreign.manifest(repository, "v1")
    assert view.read_bytes(f"{repository}/v1/.oci/manifest.json") == content
    assert view.stat(f"{repository}/v1/.oci/manifest.json").size == len(content)


def test_the_manifest_of_an_index_and_of_its_platforms_can_be_read(
    view: View, foreign: Foreign, repository: str
) -> None:
    amd64 = foreign.artifact(repository, "a", {"file": b"amd64"})
    index = foreign.index(repository, "v2", [(amd64, AMD64)])
    assert digest_of(view.read_bytes(f"{repository}/v2/.oci/manifest.json")) == index
    assert digest_of(view.read_bytes(f"{repository}/v2/linux-amd64/.oci/manifest.json")) == amd64


def test_the_config_can_be_read(view: View, foreign: Foreign, repository: str) -> None:
    content = json.dumps({"architecture": "amd64", "os": "linux"}).encode()
    foreign.publish(repository, "v1", [], config=foreign.layer(repository, content))
    assert view.read_bytes(f"{repository}/v1/.oci/config.json") == content


def test_the_blobs_of_an_alias_can_be_read_by_digest(view: View, foreign: Foreign, repository: str) -> None:
    foreign.artifact(repository, "v1", {"a": b"titled"})
    foreign.push(repository, b"of no alias")
    blobs = f"{repository}/v1/.oci/blobs"
    assert view.read_bytes(f"{blobs}/{digest_of(b'titled')}") == b"titled"
    assert view.read_bytes(f"{blobs}/{digest_of(b'{}')}") == b"{}"
    assert not view.exists(f"{blobs}/{digest_of(b'of no alias')}")


def test_any_blob_of_a_repository_can_be_read_by_digest(view: View, foreign: Foreign, repository: str) -> None:
    foreign.artifact(repository, "v1", {"a": b"titled"})
    foreign.push(repository, b"of no alias")
    eventually(lambda: view.read_bytes(f"{repository}/.blobs/{digest_of(b'of no alias')}"), b"of no alias")
    assert not view.exists(f"{repository}/.blobs/{digest_of(b'elsewhere')}")
    assert not view.exists(f"{repository}/.blobs/a")


def test_a_file_created_among_the_blobs_is_a_blob_that_no_alias_names(
    view: View, foreign: Foreign, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"a": b"a"})
    before = foreign.manifest(repository, "v1")
    eventually(lambda: view.exists(f"{repository}/.blobs"))
    view.write_bytes(f"{repository}/.blobs/anything", b"loose")
    assert foreign.blob(repository, digest_of(b"loose")) == b"loose"
    assert view.read_bytes(f"{repository}/.blobs/{digest_of(b'loose')}") == b"loose"
    assert foreign.aliases(repository) == {"v1"}
    assert foreign.manifest(repository, "v1") == before


def test_a_file_created_among_the_blobs_by_its_digest_is_there_at_once(
    view: View, foreign: Foreign, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"a": b"a"})
    eventually(lambda: view.exists(f"{repository}/.blobs"))
    path = f"{repository}/.blobs/{digest_of(b'loose')}"
    assert not view.exists(path)
    view.write_bytes(path, b"loose")
    assert view.read_bytes(path) == b"loose"


def test_no_listing_shows_the_hidden_names(view: View, foreign: Foreign, repository: str) -> None:
    foreign.artifact(repository, "v1", {"a": b"a"})
    eventually(lambda: view.exists(f"{repository}/.blobs"))
    assert view.stat(f"{repository}/v1/.oci").is_directory
    assert view.stat(f"{repository}/v1/.oci/blobs").is_directory
    assert view.list(repository) == ["v1"]
    assert view.list(f"{repository}/v1") == ["a"]
    assert view.list(f"{repository}/.blobs") == []


def test_who_names_the_hidden_directory_of_a_tag_can_list_it(view: View, foreign: Foreign, repository: str) -> None:
    foreign.artifact(repository, "v1", {"a": b"a", "b": b"b", "again": b"a"})
    there = f"{repository}/v1/.oci"
    assert view.list(there) == ["blobs", "config.json", "manifest.json"]
    assert view.list(f"{there}/blobs") == sorted(map(digest_of, (b"a", b"b", b"{}")))
    for digest in view.list(f"{there}/blobs"):
        assert digest_of(view.read_bytes(f"{there}/blobs/{digest}")) == digest


def test_the_hidden_directory_of_an_index_has_its_manifest(view: View, foreign: Foreign, repository: str) -> None:
    amd64 = foreign.artifact(repository, "a", {"file": b"amd64"})
    foreign.index(repository, "v2", [(amd64, AMD64)])
    assert view.list(f"{repository}/v2/.oci") == ["blobs", "manifest.json"]
    assert view.list(f"{repository}/v2/.oci/blobs") == []
    assert view.list(f"{repository}/v2/linux-amd64/.oci") == ["blobs", "config.json", "manifest.json"]


def test_programs_that_walk_a_tag_never_meet_what_is_hidden(
    mounted: Mounted, foreign: Foreign, repository: str, tmp_path: Path
) -> None:
    foreign.artifact(repository, "v1", {"a": b"needle", "sub/b": b"needle"})
    tag = mounted.path(f"{repository}/v1")
    assert mounted.list(f"{repository}/v1/.oci") == ["blobs", "config.json", "manifest.json"]
    found = subprocess.run(["find", tag], capture_output=True, text=True, check=True).stdout.splitlines()
    assert sorted(found) == [tag, f"{tag}/a", f"{tag}/sub", f"{tag}/sub/b"]
    matches = subprocess.run(["grep", "-rl", "needle", tag], capture_output=True, text=True, check=True).stdout
    assert sorted(matches.splitlines()) == [f"{tag}/a", f"{tag}/sub/b"]
    subprocess.run(["cp", "-r", tag, tmp_path / "copy"], check=True)
    assert sorted(os.listdir(tmp_path / "copy")) == ["a", "sub"]


def test_a_mount_of_one_repository_shows_its_aliases_alone(
    new_view: NewView, registry: Registry, foreign: Foreign, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"a": b"a"})
    foreign.artifact(repository, "below", {"of-the-alias": b"1"})
    foreign.artifact(f"{repository}/below", "v1", {"of-the-repository": b"2"})
    view = new_view(f"{registry.url}/{repository}")
    assert view.list() == ["below", "v1"]
    assert view.list("below") == ["of-the-alias"]
    assert view.read_bytes("v1/a") == b"a"


def test_a_file_can_be_put_into_a_mount_of_one_repository(
    new_view: NewView, registry: Registry, foreign: Foreign, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"a": b"a"})
    view = new_view(f"{registry.url}/{repository}")
    view.mkdir("v2")
    view.write_bytes("v2/b", b"b")
    assert foreign.files(repository, "v2") == {"b": b"b"}
    assert view.list() == ["v1", "v2"]


def test_a_mount_of_one_alias_is_its_files(
    new_view: NewView, registry: Registry, foreign: Foreign, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"a": b"a", "sub/b": b"b"})
    view = new_view(f"{registry.url}/{repository}:v1")
    assert view.list() == ["a", "sub"]
    view.write_bytes("sub/c", b"c")
    assert foreign.files(repository, "v1") == {"a": b"a", "sub/b": b"b", "sub/c": b"c"}
    assert view.list("sub") == ["b", "c"]


def test_a_mount_of_one_alias_follows_it(
    new_view: NewView, registry: Registry, foreign: Foreign, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"a": b"a"})
    view = new_view(f"{registry.url}/{repository}:v1")
    assert view.list() == ["a"]
    foreign.artifact(repository, "v1", {"b": b"b"})
    eventually(view.list, ["b"])


@pytest.mark.logs(READ_ONLY)
def test_a_mount_of_one_digest_stays_as_it_is(
    new_view: NewView, registry: Registry, foreign: Foreign, repository: str
) -> None:
    digest = foreign.artifact(repository, "v1", {"a": b"old"})
    foreign.artifact(repository, "v1", {"b": b"new"})
    view = new_view(f"{registry.url}/{repository}@{digest}")
    assert view.list() == ["a"]
    assert view.read_bytes("a") == b"old"
    with refused(errno.EROFS):
        view.write_bytes("c", b"c")


@pytest.mark.logs(READ_ONLY)
def test_a_view_of_one_platform_shows_its_files_in_the_place_of_the_platforms(
    new_view: NewView, registry: Registry, foreign: Foreign, repository: str
) -> None:
    amd64 = foreign.artifact(repository, "amd64", {"program": b"amd64"})
    arm64 = foreign.artifact(repository, "arm64", {"program": b"arm64"})
    foreign.index(repository, "both", [(amd64, AMD64), (arm64, ARM64)])
    foreign.index(repository, "one", [(amd64, AMD64)])
    view = new_view(f"{registry.url}/{repository}", platform="linux-arm64-v8")
    assert view.list("both") == ["program"]
    assert view.read_bytes("both/program") == b"arm64"
    assert view.list("one") == ["linux-amd64"]
    with refused(errno.EROFS):
        view.write_bytes("both/program", b"another")
    with refused(errno.EROFS):
        view.remove("both/program")
    assert new_view(f"{registry.url}/{repository}:both", platform="linux-amd64").list() == ["program"]


def test_a_mount_of_a_multi_platform_alias_shows_the_platforms(
    new_view: NewView, registry: Registry, foreign: Foreign, repository: str
) -> None:
    amd64 = foreign.artifact(repository, "a", {"file": b"amd64"})
    foreign.index(repository, "v2", [(amd64, AMD64)])
    view = new_view(f"{registry.url}/{repository}:v2")
    assert view.list() == ["linux-amd64"]
    assert view.read_bytes("linux-amd64/file") == b"amd64"


def test_a_new_alias_is_seen_after_the_time_to_live(view: View, foreign: Foreign, repository: str) -> None:
    foreign.artifact(repository, "v1", {"a": b"a"})
    assert view.list(repository) == ["v1"]
    foreign.artifact(repository, "v2", {"b": b"b"})
    eventually(lambda: view.list(repository), ["v1", "v2"])
    eventually(lambda: view.read_bytes(f"{repository}/v2/b"), b"b")
