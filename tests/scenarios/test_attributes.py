"""What stat and the extended attributes say."""

from __future__ import annotations

import errno
import os
from datetime import datetime, timezone

import pytest

from tests.registries import Registry
from tests.scenarios.foreign import CREATED, OCI_INDEX, OCI_MANIFEST, TITLE, Foreign, digest_of
from tests.scenarios.making import NewView
from tests.scenarios.views import Mounted, View, eventually, refused

pytestmark = pytest.mark.both_adapters


def _seconds(view: View, path: str) -> datetime:
    return datetime.fromtimestamp(view.stat(path).mtime_ns // 10**9, timezone.utc)


def test_a_files_size_is_the_manifests(view: View, foreign: Foreign, repository: str) -> None:
    foreign.artifact(repository, "v1", {"empty": b"", "one": b"1", "large": bytes(1_234_567)})
    sizes = {name: view.stat(f"{repository}/v1/{name}").size for name in ("empty", "one", "large")}
    assert sizes == {"empty": 0, "one": 1, "large": 1_234_567}


def test_a_files_time_is_its_layers(view: View, foreign: Foreign, repository: str) -> None:
    annotations = {TITLE: "a", CREATED: "2015-05-12T01:02:03.5+02:00"}
    layer = foreign.layer(repository, b"a", annotations=annotations)
    foreign.publish(repository, "v1", [layer], annotations={CREATED: "2020-01-01T00:00:00Z"})
    assert _seconds(view, f"{repository}/v1/a") == datetime(2015, 5, 11, 23, 2, 3, tzinfo=timezone.utc)


def test_a_layer_without_a_time_has_its_manifests(view: View, foreign: Foreign, repository: str) -> None:
    foreign.artifact(repository, "v1", {"a": b"a"}, annotations={CREATED: "2020-01-02T03:04:05Z"})
    assert _seconds(view, f"{repository}/v1/a") == datetime(2020, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


@pytest.mark.parametrize("created", ["", "yesterday", "2020-13-45T00:00:00Z", "0001-01-01T00:00:00Z", "9" * 400])
def test_a_time_that_is_none_is_the_mounts_start(view: View, foreign: Foreign, repository: str, created: str) -> None:
    foreign.artifact(repository, "v1", {"a": b"a"}, annotations={CREATED: created})
    foreign.artifact(repository, "v2", {"b": b"a"})
    assert _seconds(view, f"{repository}/v1/a") == _seconds(view, f"{repository}/v2/b")
    assert abs((_seconds(view, f"{repository}/v1/a") - datetime.now(timezone.utc)).total_seconds()) < 3600


def test_other_bytes_of_the_same_size_and_time_have_another_time(view: View, foreign: Foreign, repository: str) -> None:
    created = {"annotations": {CREATED: "2020-01-02T03:04:05Z"}}
    foreign.artifact(repository, "v1", {"a": b"old"}, **created)
    foreign.artifact(repository, "v2", {"a": b"new"}, **created)
    assert view.stat(f"{repository}/v1/a").mtime_ns != view.stat(f"{repository}/v2/a").mtime_ns


def test_modes_are_those_of_a_writable_tree(view: View, foreign: Foreign, repository: str) -> None:
    foreign.artifact(repository, "v1", {"a": b"a", "sub/b": b"b"})
    files, directories = ("/v1/a", "/v1/sub/b"), ("", "/v1", "/v1/sub")
    assert {view.stat(repository + path).mode for path in files} == {0o644}
    assert {view.stat(repository + path).mode for path in directories} == {0o755}


def test_modes_are_read_only_where_nothing_can_be_changed(view: View, foreign: Foreign, repository: str) -> None:
    digest = foreign.artifact(repository, "v1", {"a": b"a"})
    foreign.index(repository, "v2", [(digest, {"os": "linux", "architecture": "amd64"})])
    assert view.stat(f"{repository}@{digest}").mode == 0o555
    assert view.stat(f"{repository}@{digest}/a").mode == 0o444
    assert view.stat(f"{repository}/v2/linux-amd64").mode == 0o555
    assert view.stat(f"{repository}/v2/linux-amd64/a").mode == 0o444
    assert view.stat(f"{repository}/v1/.oci/manifest.json").mode == 0o444


def test_modes_of_a_read_only_mount_are_read_only(
    new_view: NewView, registry: Registry, foreign: Foreign, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"a": b"a"})
    view = new_view(registry.url, read_only=True)
    assert view.stat(f"{repository}/v1").mode == 0o555
    assert view.stat(f"{repository}/v1/a").mode == 0o444


def test_owner_group_and_umask_are_options(
    registry: Registry, foreign: Foreign, repository: str, tmp_path: os.PathLike[str]
) -> None:
    foreign.artifact(repository, "v1", {"a": b"a"})
    view = Mounted(tmp_path, registry.url, uid=12, gid=34, umask="027")  # type: ignore[arg-type]
    try:
        found = os.stat(view.path(f"{repository}/v1/a"))
        assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (12, 34, 0o640)
    finally:
        view.close()


def test_a_blobs_attributes_say_what_it_is(view: View, foreign: Foreign, repository: str) -> None:
    annotations = {TITLE: "a", "org.example.unit": "größe"}
    layer = foreign.layer(repository, b"a", mediaType="text/plain", annotations=annotations)
    foreign.publish(repository, "v1", [layer])
    assert view.xattrs(f"{repository}/v1/a") == {
        "user.regfs.digest": digest_of(b"a"),
        "user.regfs.media_type": "text/plain",
        "user.regfs.annotation.org.example.unit": "größe",
        f"user.regfs.annotation.{TITLE}": "a",
    }


def test_an_alias_attributes_say_what_it_is(view: View, foreign: Foreign, repository: str) -> None:
    fields = {"artifactType": "application/x.readings", "annotations": {"org.example.unit": "V"}}
    digest = foreign.artifact(repository, "v1", {"a": b"a"}, **fields)
    assert view.xattrs(f"{repository}/v1") == {
        "user.regfs.digest": digest,
        "user.regfs.manifest_digest": digest,
        "user.regfs.media_type": OCI_MANIFEST,
        "user.regfs.artifact_type": "application/x.readings",
        "user.regfs.annotation.org.example.unit": "V",
    }


def test_the_attributes_of_an_index_are_the_indexs(view: View, foreign: Foreign, repository: str) -> None:
    amd64 = foreign.artifact(repository, "v1", {"a": b"a"})
    digest = foreign.index(repository, "v2", [(amd64, {"os": "linux", "architecture": "amd64"})])
    found = view.xattrs(f"{repository}/v2")
    assert found["user.regfs.manifest_digest"] == digest
    assert found["user.regfs.media_type"] == OCI_INDEX
    assert view.xattrs(f"{repository}/v2/linux-amd64")["user.regfs.manifest_digest"] == amd64


def test_repositories_and_title_directories_have_no_attributes(view: View, foreign: Foreign, repository: str) -> None:
    foreign.artifact(repository, "v1", {"sub/a": b"a"})
    assert view.xattrs(repository) == view.xattrs(f"{repository}/v1/sub") == {}


def test_a_file_being_written_has_no_attributes_yet(view: View, foreign: Foreign, repository: str) -> None:
    foreign.artifact(repository, "v1", {"a": b"a"})
    with view.open(f"{repository}/v1/new", os.O_WRONLY | os.O_CREAT):
        assert view.xattrs(f"{repository}/v1/new") == {}


def test_an_attribute_that_is_not_there_is_not_there(mounted: Mounted, foreign: Foreign, repository: str) -> None:
    foreign.artifact(repository, "v1", {"a": b"a"})
    for name in ("user.regfs.nothing", "user.other"):
        with refused(errno.ENODATA):
            os.getxattr(mounted.path(f"{repository}/v1/a"), name)


def test_only_user_attributes_are_supported(mounted: Mounted, foreign: Foreign, repository: str) -> None:
    foreign.artifact(repository, "v1", {"a": b"a"})
    for name in ("security.capability", "system.posix_acl_access", "trusted.overlay.opaque"):
        with refused(errno.EOPNOTSUPP):
            os.getxattr(mounted.path(f"{repository}/v1/a"), name)


def test_attributes_need_no_download(new_view: NewView, registry: Registry, foreign: Foreign, repository: str) -> None:
    foreign.artifact(repository, "v1", {"a": b"content"})
    view = new_view(registry.url)
    view.stat(f"{repository}/v1/a")
    view.xattrs(f"{repository}/v1/a")
    assert view.cached(digest_of(b"content")) == []


def test_an_alias_changes_time_with_its_manifest(view: View, foreign: Foreign, repository: str) -> None:
    foreign.artifact(repository, "v1", {"a": b"a"})
    view.list(f"{repository}/v1")
    before = view.stat(f"{repository}/v1").mtime_ns
    foreign.artifact(repository, "v1", {"b": b"b"})
    eventually(lambda: view.list(f"{repository}/v1"), ["b"])
    eventually(lambda: view.stat(f"{repository}/v1").mtime_ns != before)
