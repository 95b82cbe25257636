"""The cases of what lies inside an image's layer, beside the programs that pull and unpack it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmark import processes
from scripts.benchmark.contenders import MEMORY, Command, Ready, counting, on_files, through_mount
from scripts.benchmark.harness import Case, Contender, Goal
from scripts.benchmark.lab import Lab, Link
from tests.scenarios.foreign import Foreign

_SOURCE = Path("/usr/share")  # every machine has it, with files of all sizes
_ROUND_TRIP, _RATE = 0.04, 10e6  # seconds, bytes per second
_MEMORY_MAX = 200 << 20
_GZIP_LEVEL = 6
Commands = Callable[[Path], Sequence[Command]]


@dataclass(frozen=True)
class _Image:
    """An image of one layer in a registry, and the same files on the disk.

    :param digest: of the layer
    :param file: a file in the middle of the layer
    """

    lab: Lab
    host: str
    port: int
    digest: str
    native: Path
    cache: Path
    file: str

    def rootfs(self, work: Commands, host: str | None = None, first: Commands | None = None) -> Ready:
        """Work in a new mount of the image's root; without *first*, nothing of it is cached."""
        reference, cache = f"{host or self.host}/bench:v1", None if first is None else self.cache
        return through_mount(
            self.lab,
            lambda: self.lab.regfs(reference, "--rootfs", cache=cache),
            work,
            _nothing,
            first or (lambda mount: ()),
        )

    def on_disk(self, work: Commands) -> Ready:
        """The same work on the files on the disk, which are in memory."""
        return on_files(self.lab, lambda _: work(self.native), lambda: self._warm(work))

    def _warm(self, work: Commands) -> None:
        processes.run_together(work(self.native), self.lab.env)

    def layer(self, host: str) -> str:
        """The URL of the layer."""
        return f"http://{host}/v2/bench/blobs/{self.digest}"


def _nothing() -> None:
    """Nothing is done before."""


@contextmanager
def _image(lab: Lab, limit: int) -> Iterator[_Image]:
    """An image whose only layer has files of about *limit* bytes."""
    with lab.scratch() as directory, lab.registry() as registry:
        native, cache = directory / "native", directory / "cache"
        _copy(native, limit)
        packed = subprocess.run(["tar", "--numeric-owner", "-c", "-C", native, "."], check=True, capture_output=True)
        with closing(Foreign(registry)) as client:
            digest = _publish(client, packed.stdout)
        files = sorted(path for path in native.rglob("*") if path.is_file() and 4096 < path.stat().st_size < 65536)
        middle = str(files[len(files) // 2].relative_to(native))
        yield _Image(lab, registry.host, registry.port, digest, native, cache, middle)


def _copy(goal: Path, limit: int) -> None:
    """Copy directories of the machine until there are enough bytes."""
    goal.mkdir()
    size = 0
    for source in sorted(path for path in _SOURCE.iterdir() if path.is_dir()):
        if size >= limit:
            break
        subprocess.run(["cp", "-a", source, goal], check=True)
        counted = subprocess.run(["du", "-sb", goal / source.name], check=True, capture_output=True)
        size += int(counted.stdout.split()[0])


def _publish(client: Foreign, packed: bytes) -> str:
    """Publish an image of one tar; returns the digest of its layer."""
    client.image("bench", "v1", packed, level=_GZIP_LEVEL)
    return str(client.document("bench", "v1")["layers"][0]["digest"])


def first_listing(lab: Lab, limit: int) -> Case:
    """``ls -R`` of an image of which nothing is cached."""

    @contextmanager
    def contenders() -> Iterator[Sequence[Contender]]:
        with _image(lab, limit) as image:
            source = f"docker://{image.host}/bench:v1"
            copied = f"skopeo --insecure-policy copy -q --src-tls-verify=false {source} oci:oci:v1"
            unpacked = f"cd $0 && {copied} && umoci unpack --image oci:v1 bundle >/dev/null"
            pulled = "cd $0 && podman --root $0/p --runroot $0/r --storage-driver vfs pull -q --tls-verify=false "
            streamed = f"curl -sSf {image.layer(image.host)} | tar -xzO >/dev/null"
            goals = [
                Goal("0.3 of podman pull", 0.3, "podman pull"),
                Goal("0.3 of skopeo and umoci", 0.3, "skopeo, umoci"),
                Goal("as fast as curl and tar", 1.0, "curl, tar"),
            ]
            yield [
                Contender("regfs", image.rootfs(lambda mount: [("ls", "-R", str(mount))]), goals),
                Contender("podman pull", _shell(image, f"{pulled}{image.host}/bench:v1 >/dev/null")),
                Contender("skopeo, umoci", _shell(image, unpacked)),
                Contender("curl, tar", _shell(image, streamed)),
            ]

    note = f"`ls -R` of the root of an image with one layer, of {limit >> 20} MiB of `{_SOURCE}`; nothing is cached."
    return Case("images-first", "First listing of an image", note, "curl, tar", contenders)


def _shell(image: _Image, script: str) -> Ready:
    return on_files(image.lab, lambda directory: [("bash", "-ec", script, str(directory))], _nothing)


def one_file(lab: Lab, limit: int) -> Case:
    """One file of a layer that is not cached, over a slow link; the index is there."""

    @contextmanager
    def contenders() -> Iterator[Sequence[Contender]]:
        with _image(lab, limit) as image, lab.link(image.port, _ROUND_TRIP, _RATE) as link:
            goals = [
                Goal("1/50 of the layer", 1 / 50, "curl, tar"),
                Goal("1 MiB moved", 1 << 20, fact="moved"),
            ]
            fetched = f"curl -sSf {image.layer(link.host)} | tar -xzO ./{image.file} >/dev/null"
            yield [
                Contender("regfs", counting(link, _indexed(image, link)), goals),
                Contender("curl, tar", counting(link, _shell(image, fetched))),
            ]

    note = "`cat` of one file in a new mount, over 40 ms and 10 MB/s. The index of the layer is kept, the layer is not."
    return Case("images-file", "One file of a layer", note, "curl, tar", contenders)


def _indexed(image: _Image, link: Link) -> Ready:
    """``cat`` of the file, in a mount whose cache has the index alone."""
    with image.lab.regfs(f"{image.host}/bench:v1", "--rootfs", cache=image.cache) as mount:
        processes.run_together([("ls", str(mount.directory))], image.lab.env)

    def emptied(mount: Path) -> Sequence[Command]:
        return [("find", str(image.cache / "blobs"), "-size", "+1M", "-delete"), ("stat", str(mount))]

    return image.rootfs(lambda mount: [("cat", str(mount / image.file))], link.host, emptied)


def _warm(lab: Lab, limit: int, name: str, title: str, work: Commands, times: float) -> Case:
    """Some work on an image that was looked into before, beside the same on the disk."""

    @contextmanager
    def contenders() -> Iterator[Sequence[Contender]]:
        with _image(lab, limit) as image:
            goals = [
                Goal(f"{times:g} times the disk", times, "disk"),
                Goal("less than 200 MiB of memory", _MEMORY_MAX, fact=MEMORY),
            ]
            look = image.rootfs(work, first=lambda mount: [("ls", str(mount))])
            yield [Contender("regfs", look, goals), Contender("disk", image.on_disk(work))]

    note = f"{title} of {limit >> 20} MiB of `{_SOURCE}`, in a new mount with the layer and its index in the cache."
    return Case(name, title, note, "disk", contenders)


def find(lab: Lab, limit: int) -> Case:
    """``find`` in the root of an image."""
    return _warm(lab, limit, "images-find", "`find` in an image", lambda place: [("find", str(place))], 15)


def tar(lab: Lab, limit: int) -> Case:
    """Everything is read."""

    def work(place: Path) -> Sequence[Command]:
        return [("bash", "-c", 'tar -c -C "$0" . | cat >/dev/null', str(place))]

    return _warm(lab, limit, "images-tar", "`tar` of an image", work, 15)


def grep(lab: Lab, limit: int) -> Case:
    """``grep -r`` for what is not there."""

    def work(place: Path) -> Sequence[Command]:
        return [("bash", "-c", '! grep -rqs "not in any file" "$0"', str(place))]

    return _warm(lab, limit, "images-grep", "`grep -r` in an image", work, 3)
