"""Real programs through the mount."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest

from tests.scenarios.foreign import CREATED, TITLE, Foreign, digest_of
from tests.scenarios.views import Mounted


@pytest.fixture
def there(mounted: Mounted, foreign: Foreign, repository: str) -> str:
    """Where the alias v1 of the files a, b and sub/c is mounted."""
    foreign.artifact(repository, "v1", {"a": b"one\ntwo\n", "b": b"bb", "sub/c": b"three\n"})
    return mounted.path(f"{repository}/v1")


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """A local directory with a tree of files, the large one of 3 MiB."""
    tree = tmp_path / "local"
    (tree / "sub" / "below").mkdir(parents=True)
    (tree / "empty").write_bytes(b"")
    (tree / "text.txt").write_text("text\n")
    (tree / "sub" / "large").write_bytes(random.Random(7).randbytes(3 << 20))
    (tree / "sub" / "below" / "ü ö").write_bytes(b"umlauts")
    for number, path in enumerate(sorted(tree.rglob("*"))):
        os.utime(path, (1_431_302_400 + number, 1_431_302_400 + number))
    return tree


def run(command: str, *arguments: object, directory: object = None) -> str:
    """Run a shell command whose arguments are ``$1`` and so on; it has to succeed, and to say nothing of errors."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command, "bash", *map(str, arguments)],
        capture_output=True, text=True, cwd=directory or "/", timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def files_of(tree: Path) -> dict[str, bytes]:
    """The files of a local tree."""
    return {str(path.relative_to(tree)): path.read_bytes() for path in tree.rglob("*") if path.is_file()}


def test_cp_copies_a_file_in(there: str, foreign: Foreign, repository: str, local: Path) -> None:
    run('cp "$1" "$2"', local / "sub" / "large", there)
    assert foreign.files(repository, "v1")["large"] == (local / "sub" / "large").read_bytes()


def test_cp_copies_over_a_file(there: str, foreign: Foreign, repository: str, local: Path) -> None:
    run('cp "$1" "$2/a"', local / "text.txt", there)
    assert foreign.files(repository, "v1")["a"] == b"text\n"


def test_cp_copies_a_file_out(there: str, tmp_path: Path) -> None:
    run('cp "$1/a" "$1/sub/c" "$2"', there, tmp_path)
    assert files_of(tmp_path) == {"a": b"one\ntwo\n", "c": b"three\n"}


def test_cp_r_copies_a_tree_in_and_out(
    there: str, foreign: Foreign, repository: str, local: Path, tmp_path: Path
) -> None:
    run('cp -r "$1/." "$2"', local, there)
    assert files_of(local).items() <= foreign.files(repository, "v1").items()
    run('cp -r "$1" "$2/out"', there, tmp_path)
    assert files_of(tmp_path / "out") == foreign.files(repository, "v1")


def test_cp_r_makes_an_alias(there: str, foreign: Foreign, repository: str, local: Path) -> None:
    run('cp -r "$1" "$2/../v2"', local, there)
    assert foreign.files(repository, "v2") == files_of(local)


def test_cp_r_of_an_alias_with_nameless_blobs_copies_it(mounted: Mounted, foreign: Foreign, repository: str) -> None:
    foreign.publish(repository, "v1", [foreign.layer(repository, b"nameless"), foreign.layer(repository, b"x", "x")])
    run("cp -r v1 v2", directory=mounted.path(repository))
    assert foreign.files(repository, "v2") == foreign.files(repository, "v1")


@pytest.mark.parametrize("option", ["-p", "-a"])
def test_cp_keeps_times(there: str, foreign: Foreign, repository: str, local: Path, option: str) -> None:
    run('cp "$1" "$2" "$3"', option, local / "text.txt", there)
    layer = foreign.document(repository, "v1")["layers"][-1]
    assert (layer["annotations"][TITLE], layer["digest"]) == ("text.txt", digest_of(b"text\n"))
    assert layer["annotations"][CREATED].startswith("2015-05-11T00:00:")
    assert int(os.stat(f"{there}/text.txt").st_mtime) == int((local / "text.txt").stat().st_mtime)


@pytest.mark.parametrize("size", [1, 777, 4097, 131_073, 1 << 20])
def test_dd_writes_with_any_block_size(there: str, foreign: Foreign, repository: str, local: Path, size: int) -> None:
    source = local / "sub" / "large" if size > 1000 else local / "text.txt"
    run('dd if="$1" of="$2/dd" bs="$3" status=none', source, there, size)
    assert foreign.files(repository, "v1")["dd"] == source.read_bytes()


def test_dd_writes_in_the_middle_of_a_file(there: str, foreign: Foreign, repository: str) -> None:
    run('printf XX | dd of="$1/a" bs=1 seek=1 conv=notrunc status=none', there)
    assert foreign.files(repository, "v1")["a"] == b"oXX\ntwo\n"


def test_dd_reads_with_any_block_size(there: str) -> None:
    assert run('dd if="$1/a" bs=3 skip=1 status=none', there) == "\ntwo\n"


def test_rsync_copies_a_tree_and_then_nothing(there: str, foreign: Foreign, repository: str, local: Path) -> None:
    run('rsync -a "$1/" "$2/"', local, there)
    assert files_of(local).items() <= foreign.files(repository, "v1").items()
    before = foreign.manifest(repository, "v1")
    again = "rsync -a --itemize-changes --omit-dir-times --no-perms --no-owner --no-group"
    changed = run(f'{again} "$1/" "$2/"', local, there)
    assert (changed, foreign.manifest(repository, "v1")) == ("", before)


def test_rsync_deletes_what_is_gone(there: str, foreign: Foreign, repository: str, local: Path) -> None:
    run('rsync -a --delete "$1/" "$2/"', local, there)
    assert foreign.files(repository, "v1") == files_of(local)


def test_rsync_in_place_writes_what_differs(there: str, foreign: Foreign, repository: str, local: Path) -> None:
    (local / "a").write_bytes(b"one\nTWO\n")
    run('rsync --inplace --no-whole-file --ignore-times "$1/a" "$2/"', local, there)
    assert foreign.files(repository, "v1")["a"] == b"one\nTWO\n"


def test_tar_extracts_into_an_alias(there: str, foreign: Foreign, repository: str, local: Path, tmp_path: Path) -> None:
    run('tar -C "$1" -cf "$2" . && tar -C "$3" -xf "$2"', local, tmp_path / "x.tar", there)
    assert files_of(local).items() <= foreign.files(repository, "v1").items()
    assert int(os.stat(f"{there}/text.txt").st_mtime) == int((local / "text.txt").stat().st_mtime)


def test_tar_packs_an_alias(there: str, tmp_path: Path) -> None:
    run('tar -C "$1" -cf "$2/x.tar" . && tar -C "$2" -xf "$2/x.tar" && rm "$2/x.tar"', there, tmp_path)
    assert files_of(tmp_path) == {"a": b"one\ntwo\n", "b": b"bb", "sub/c": b"three\n"}


def test_mv_renames(there: str, foreign: Foreign, repository: str) -> None:
    run("mv a renamed && mv sub/c c", directory=there)
    assert foreign.files(repository, "v1") == {"renamed": b"one\ntwo\n", "b": b"bb", "c": b"three\n"}


def test_mv_moves_in_from_another_file_system(there: str, foreign: Foreign, repository: str, local: Path) -> None:
    expected = files_of(local)
    run('mv "$1/text.txt" "$1/empty" "$2"', local, there)
    assert foreign.files(repository, "v1")["text.txt"] == expected["text.txt"]
    assert not (local / "text.txt").exists()


def test_mv_moves_an_alias(there: str, foreign: Foreign, repository: str) -> None:
    before = foreign.files(repository, "v1")
    run("mv v1 v2", directory=Path(there).parent)
    assert foreign.aliases(repository) == {"v2"}
    assert foreign.files(repository, "v2") == before


def test_rm_r_removes_an_alias_alone(there: str, foreign: Foreign, repository: str) -> None:
    content = foreign.manifest(repository, "v1")
    foreign.put(repository, "sibling", content)
    run("rm -r v1", directory=Path(there).parent)
    assert foreign.aliases(repository) == {"sibling"}
    assert foreign.manifest(repository, "sibling") == content


def test_sed_edits_in_place(there: str, foreign: Foreign, repository: str) -> None:
    run("sed -i s/two/2/ a", directory=there)
    assert foreign.files(repository, "v1") == {"a": b"one\n2\n", "b": b"bb", "sub/c": b"three\n"}


def test_the_shell_appends(there: str, foreign: Foreign, repository: str) -> None:
    run("echo three >> a; echo new >> new; echo more >> new", directory=there)
    files = foreign.files(repository, "v1")
    assert (files["a"], files["new"]) == (b"one\ntwo\nthree\n", b"new\nmore\n")


def test_the_shell_writes_over(there: str, foreign: Foreign, repository: str) -> None:
    run("echo short > a; : > b", directory=there)
    files = foreign.files(repository, "v1")
    assert (files["a"], files["b"]) == (b"short\n", b"")


def test_grep_r_and_find_meet_no_hidden_name(there: str, repository: str) -> None:
    repository_directory = Path(there).parent
    assert run("grep -rl t . | sort", directory=repository_directory) == "./v1/a\n./v1/sub/c\n"
    assert run("find . | sort", directory=repository_directory) == ".\n./v1\n./v1/a\n./v1/b\n./v1/sub\n./v1/sub/c\n"
    assert run("find . -type f -size -3c", directory=there) == "./b\n"


def test_du_and_df_answer(there: str) -> None:
    run('df "$1" && du -s "$1"', there)


def test_touch_makes_a_file_and_sets_a_time(there: str, foreign: Foreign, repository: str) -> None:
    run("touch new; touch -d 2015-05-11T00:00:00Z a", directory=there)
    assert foreign.files(repository, "v1")["new"] == b""
    assert foreign.document(repository, "v1")["layers"][0]["annotations"][CREATED] == "2015-05-11T00:00:00Z"


def test_truncate_cuts_and_lengthens(there: str, foreign: Foreign, repository: str) -> None:
    run("truncate -s 3 a; truncate -s 5 b", directory=there)
    files = foreign.files(repository, "v1")
    assert (files["a"], files["b"]) == (b"one", b"bb\0\0\0")


def test_python_maps_a_file_into_memory(there: str) -> None:
    program = "import mmap; f = open('a', 'rb'); print(mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)[:3])"
    assert run('python3 -c "$1"', program, directory=there) == "b'one'\n"
