"""The rules by which layers make a root, each with its right answer. Source: image-spec layer.md.

Rules that the specification leaves open follow what containerd and podman do with the same layers.
"""

from __future__ import annotations

import stat

import pytest

from regfs.archive.entry import Kind
from regfs.archive.errors import ArchiveError, CorruptArchive, DigestMismatch
from regfs.archive.rootfs.merge import Root
from tests.archive.making import (
    Image,
    Member,
    archive_of,
    digest_of,
    directory,
    extended,
    file,
    hardlink,
    index_of,
    old_sparse,
    symlink,
    tar,
)

OPAQUE = ".wh..wh..opq"


def test_a_whiteout_removes_a_lower_file() -> None:
    image = Image([file("f"), file("g")], [file(".wh.f")])
    assert image.names() == ["g"]
    assert not image.has("f")
    assert not image.has(".wh.f")


@pytest.mark.parametrize("order", [1, -1])
def test_a_whiteout_empties_a_directory_made_anew(order: int) -> None:
    image = Image([directory("d", 0o700), file("d/old")], [file(".wh.d"), file("d/new")][::order])
    assert image.names("d") == ["new"]
    assert image.node("d").mode == 0o755


@pytest.mark.parametrize("order", [1, -1])
def test_a_whiteout_spares_its_own_layers_file(order: int) -> None:
    image = Image([file("f", b"old")], [file(".wh.f"), file("f", b"new")][::order])
    assert image.names() == ["f"]
    assert image.data("f") == b"new"


@pytest.mark.parametrize("order", [1, -1])
def test_an_opaque_directory_keeps_its_own_children(order: int) -> None:
    lower = [directory("d", 0o711), file("d/y")]
    image = Image(lower, [file("d/x"), file(f"d/{OPAQUE}")][::order])
    assert image.names() == ["d"]
    assert image.names("d") == ["x"]
    assert image.node("d").mode == 0o711


def test_an_opaque_directory_replaces_a_lower_link() -> None:
    image = Image([directory("t"), file("t/z"), symlink("d", "t")], [file(f"d/{OPAQUE}")])
    assert image.node("d").is_directory
    assert image.names("d") == []
    assert image.names("t") == ["z"]


def test_an_opaque_root_hides_all_below() -> None:
    image = Image([file("a"), directory("d"), file("d/b")], [file(OPAQUE), file("c")])
    assert image.names() == ["c"]
    assert not image.has("d/b")


def test_markers_of_a_single_layer_are_hidden() -> None:
    image = Image([file("f"), file(".wh.g"), directory("d"), file(f"d/{OPAQUE}"), file("d/.wh.x")])
    assert image.names() == ["d", "f"]
    assert image.names("d") == []
    assert [name for name, _ in image.root.children(())] == ["f", "d"]


def test_old_children_do_not_return() -> None:
    image = Image([directory("d"), file("d/old")], [file(".wh.d")], [directory("d"), file("d/new")])
    assert image.names("d") == ["new"]


def test_a_directory_over_a_directory_merges() -> None:
    lower = [directory("d", 0o700, uid=1, mtime=5), file("d/a")]
    image = Image(lower, [directory("d", 0o1777, uid=2, mtime=6), file("d/b")])
    assert image.names("d") == ["a", "b"]
    node = image.node("d")
    assert (node.mode, node.uid, node.mtime_ns, node.layer) == (0o1777, 2, 6 * 10**9, 2)


def test_a_directory_without_an_entry_has_lower_attributes() -> None:
    image = Image([directory("d", 0o700, uid=7)], [file("d/x"), file("new/x")])
    assert (image.node("d").mode, image.node("d").uid) == (0o700, 7)
    assert (image.node("new").mode, image.node("new").uid, image.node("new").gid) == (0o755, 0, 0)


def test_a_path_does_not_go_through_a_lower_link() -> None:
    lower = [directory("usr"), directory("usr/lib"), file("usr/lib/y"), symlink("lib", "usr/lib")]
    image = Image(lower, [file("lib/x")])
    assert image.node("lib").is_directory
    assert image.names("lib") == ["x"]
    assert image.names("usr/lib") == ["y"]


def test_a_path_goes_through_its_own_layers_link() -> None:
    image = Image([directory("b"), file("b/y")], [symlink("a", "b"), file("a/x", b"1")])
    assert image.node("a").link == "b"
    assert image.names("b") == ["x", "y"]
    assert image.data("b/x") == b"1"


def test_an_absolute_link_stays_inside() -> None:
    image = Image([symlink("a", "/../../b"), file("a/x"), symlink("b/up", "../.."), file("b/up/y")])
    assert image.names("b") == ["up", "x"]
    assert image.names() == ["a", "b", "y"]


def test_the_last_of_duplicates_wins() -> None:
    image = Image([file("f", b"first"), directory("d", 0o700), file("f", b"last", mode=0o600), directory("d", 0o711)])
    assert image.data("f") == b"last"
    assert (image.node("f").mode, image.node("d").mode) == (0o600, 0o711)


def test_a_file_becomes_a_directory() -> None:
    image = Image([directory("a"), file("a/z")], [file("a", b"file"), file("a/b")])
    assert image.node("a").is_directory
    assert image.names("a") == ["b"]


def test_a_directory_becomes_a_file() -> None:
    image = Image([directory("a"), file("a/b"), file("a", b"file")])
    assert image.data("a") == b"file"
    assert not image.has("a/b")


def test_only_the_last_directorys_children_count() -> None:
    image = Image([directory("p"), file("p/old")], [file("p", b"file")], [directory("p"), file("p/new")])
    assert image.names("p") == ["new"]


def test_a_hard_link_is_the_same_file() -> None:
    image = Image([file("f", b"bytes", mode=0o4755, uid=3), hardlink("l", "f")])
    one, other = image.node("f"), image.node("l")
    assert one == other
    assert (other.nlink, other.mode, other.uid) == (2, 0o4755, 3)
    assert image.data("l") == b"bytes"


def test_a_hard_link_binds_to_a_lower_file() -> None:
    image = Image([file("f", b"old")], [hardlink("l", "f"), file(".wh.f")], [file("f", b"new")])
    assert image.data("l") == b"old"
    assert image.data("f") == b"new"
    assert image.node("l").inode != image.node("f").inode


def test_a_hard_link_to_a_lower_file_counts() -> None:
    image = Image([file("f", b"old")], [hardlink("l", "f")])
    assert image.node("f") == image.node("l")
    assert image.node("f").nlink == 2


def test_bytes_stay_when_another_name_goes() -> None:
    image = Image([file("f", b"bytes"), hardlink("l", "f")], [file(".wh.f")])
    assert not image.has("f")
    assert image.data("l") == b"bytes"
    assert image.node("l").nlink == 1


def test_a_hard_link_may_come_before_its_target() -> None:
    image = Image([hardlink("l", "m"), hardlink("m", "f"), file("f", b"bytes")])
    assert image.data("l") == image.data("m") == b"bytes"
    assert image.node("f").nlink == 3


def test_a_hard_link_keeps_a_replaced_file() -> None:
    image = Image([file("f", b"first"), hardlink("l", "f"), file("f", b"last")])
    assert (image.data("l"), image.data("f")) == (b"first", b"last")
    assert image.node("l").nlink == 1


def test_a_hard_link_resolves_through_a_linked_directory() -> None:
    image = Image([directory("b"), file("b/f", b"bytes"), symlink("a", "b"), hardlink("a/l", "a/f")])
    assert image.data("b/l") == b"bytes"
    assert image.node("b/f").nlink == 2


def test_a_hard_link_resolves_through_a_lower_link() -> None:
    lower = [directory("usr/lib"), file("usr/lib/f", b"bytes"), symlink("lib", "usr/lib")]
    image = Image(lower, [hardlink("l", "lib/f")])
    assert image.data("l") == b"bytes"
    assert image.node("usr/lib/f").nlink == 2


def test_a_hard_link_to_a_symbolic_link_is_one() -> None:
    image = Image([symlink("s", "nowhere"), hardlink("l", "s")])
    assert image.node("l").kind is Kind.SYMLINK
    assert (image.node("l").link, image.node("s").nlink) == ("nowhere", 2)


def test_a_hard_link_to_nothing_is_an_error() -> None:
    image = Image([file("f")], [hardlink("l", "nothing"), hardlink("self", "self")])
    for name in ("l", "self"):
        with pytest.raises(CorruptArchive, match="hard link to nothing"):
            image.node(name)


@pytest.mark.parametrize("name", ["./x", "/x", "a/..//x", "../x", "./../x/.", "../../x"])
def test_a_name_is_never_outside(name: str) -> None:
    image = Image([file(name, b"here")])
    assert image.data("x") == b"here"


@pytest.mark.parametrize("name", ["a//x", "./a/x", "/a/./x", "../a/x", "a/b/../x"])
def test_names_of_one_place_are_one(name: str) -> None:
    image = Image([directory("a"), file("a/x", b"old")], [file(name, b"new")])
    assert image.names("a") == ["x"]
    assert image.data("a/x") == b"new"


def test_extended_headers_are_honoured() -> None:
    far = "d" * 120 + "/" + "f" * 120
    pax = {"path": far.encode(), "mtime": b"12.5", "uid": b"3000000", "linkpath": b"t" * 150}
    image = Image(
        [
            Member("short", type=b"2", link="short", pax=pax),
            extended([("path", b"global"), ("mtime", b"99")], b"g"),
            file("f", b"1", mtime=7, gid=1 << 28),
        ]
    )
    node = image.node(far)
    assert (node.mtime_ns, node.uid, node.link) == (12_500_000_000, 3_000_000, "t" * 150)
    assert (image.node("f").mtime_ns, image.node("f").gid) == (7 * 10**9, 1 << 28)


def test_extended_attributes_are_exact() -> None:
    capability = bytes([1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0])
    pax = {"SCHILY.xattr.security.capability": capability, "SCHILY.xattr.user.a": b"x=\n"}
    image = Image([file("ping", b"1", pax=pax)])
    assert image.node("ping").xattrs == (("security.capability", capability), ("user.a", b"x=\n"))


def test_a_sparse_file_is_expanded() -> None:
    image = Image([old_sparse("s", 3000, [(0, 512), (2000, 10)], b"a" * 512 + b"b" * 10)])
    assert image.data("s") == b"a" * 512 + bytes(1488) + b"b" * 10 + bytes(990)


@pytest.mark.logs(r"^layer: 6 whiteouts have no name; they are ignored$")
def test_whiteouts_without_a_name_are_ignored() -> None:
    lower = [directory("d"), file("d/f"), file("g")]
    image = Image(lower, [file(f"{place}.wh.{dots}") for place in ("d/", "") for dots in ("", ".", "..")])
    assert image.names() == ["d", "g"]
    assert image.names("d") == ["f"]


def test_a_whiteout_removes_a_name_with_a_dot() -> None:
    image = Image([file(".f"), file("..f")], [file(".wh..f"), file(".wh...f")])
    assert image.names() == []


def test_links_into_hidden_metadata_resolve() -> None:
    plnk = [directory(".wh..wh.plnk"), file(".wh..wh.plnk/1.2", b"bytes")]
    image = Image([*plnk, hardlink("a", ".wh..wh.plnk/1.2"), hardlink("b", ".wh..wh.plnk/1.2")])
    assert image.names() == ["a", "b"]
    assert not image.has(".wh..wh.plnk/1.2")
    assert image.data("a") == b"bytes"
    assert image.node("b").nlink == 2


def test_an_empty_layer_changes_nothing() -> None:
    image = Image([], [file("f", b"1")], [])
    assert image.names() == ["f"]
    assert Image([]).names() == []
    assert Root([]).names(()) == []


def test_a_cut_layer_is_an_error_and_no_shorter_list() -> None:
    members = [file("a", b"x" * 2000), file("b")]
    whole = tar(*members)
    for length in (512, 600, 2560, 3072, len(whole) - 512):
        with pytest.raises(CorruptArchive):
            index_of(whole[:length])


def test_a_wrong_diff_id_is_an_error() -> None:
    index = index_of(tar(file("a")))
    index.require_tar_digest(index.tar_digest)
    with pytest.raises(DigestMismatch, match="uncompressed tar"):
        index.require_tar_digest("sha256:" + "0" * 64)


def test_a_failed_layer_fails_what_depends_on_it() -> None:
    root = Root(["sha256:1", "sha256:2"])
    root.add(2, archive_of(tar(file("top"))))
    root.fail(1, CorruptArchive("cut"))
    assert root.lookup(("top",)) is not None
    for ask in (root.names, root.lookup):
        with pytest.raises(ArchiveError, match="cut"):
            ask(("other",))


def test_owners_modes_and_devices_are_exact() -> None:
    image = Image(
        [
            file("su", b"1", mode=0o104755, uid=4_000_000_000, gid=65534),
            Member("null", type=b"3", mode=0o666, device=(1, 3)),
            Member("disk", type=b"4", mode=0o660, device=(259, 1 << 18)),
            Member("pipe", type=b"6", mode=0o600),
        ]
    )
    assert (image.node("su").mode, image.node("su").uid, image.node("su").gid) == (0o4755, 4_000_000_000, 65534)
    assert (image.node("null").st_mode, image.node("null").device) == (stat.S_IFCHR | 0o666, (1, 3))
    assert (image.node("disk").st_mode, image.node("disk").device) == (stat.S_IFBLK | 0o660, (259, 1 << 18))
    assert image.node("pipe").st_mode == stat.S_IFIFO | 0o600


def test_a_node_says_its_layer() -> None:
    image = Image([file("a")], [file("b")])
    assert [(image.node(name).layer, image.node(name).layer_digest) for name in "ab"] == list(
        zip((1, 2), map(digest_of, image.blobs), strict=True)
    )
