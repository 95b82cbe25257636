"""A registry that means harm: nothing crashes, nothing leaves the cache, memory stays bounded, and what is good beside
what is bad still works."""

from __future__ import annotations

import errno
import gzip
import json
import os
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from regfs.oci.manifest import OCI_INDEX, OCI_MANIFEST, digest_of
from tests.contents import MIB
from tests.logs import OTHER_BYTES, STALE
from tests.scenarios.views import Direct, Mounted, present
from tests.security.conftest import JSON, TITLE, Fake, memory, within
from tests.servers import Answer, Request, Server

NewDirect = Callable[..., Direct]
NewMount = Callable[..., Mounted]
ZEROS = "sha256:" + "0" * 64
GZIP = ("Content-Encoding", "gzip")


def url(server: Server) -> str:
    return f"http://{server.host}"


@pytest.fixture
def shown(direct: NewDirect, http_fake: Server) -> Callable[[], Direct]:
    """The filesystem of the fake registry."""
    return lambda: direct(url(http_fake))


def no_answer(view: Direct, path: str) -> int:
    """The errno that a directory that cannot be listed has."""
    with pytest.raises(OSError) as caught:
        view.list(path)
    return caught.value.errno or 0


# Manifests that are none


def deep(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


NO_MANIFESTS = {
    "nothing": b"",
    "not JSON": b"<html>",
    "not an object": b"[1, 2]",
    "null": b"null",
    "nested to exhaustion": b'{"schemaVersion": 2, "layers": ' + deep(100_000) + b"}",
    "not UTF-8": b'{"layers": "\xff\xfe"}',
    "a number without end": b'{"schemaVersion": ' + b"9" * 10_000 + b"}",
    "an unknown type": b'{"mediaType": "text/evil\\nERROR forged"}',
    "a type that is a list": b'{"mediaType": ["x"]}',
    "too many parts": b'{"mediaType": "' + OCI_MANIFEST.encode() + b'", "layers": [' + b"{}," * 600_000 + b"{}]}",
    "schema 1 of nothing": b'{"schemaVersion": 1}',
    "schema 1 of numbers": b'{"schemaVersion": 1, "signatures": 3, "fsLayers": 4}',
    "schema 1 nested": b'{"schemaVersion": 1, "signatures": [{"header": ' + deep(900) + b"}]}",
    "schema 1 signed too often": b'{"schemaVersion": 1, "fsLayers": [], "signatures": [' + b"{}," * 1000 + b"{}]}",
}


@pytest.mark.logs(r"^list r/bad: (not a |unsupported )")
@pytest.mark.parametrize("what", list(NO_MANIFESTS))
def test_a_manifest_that_is_none_is_one_error_and_the_alias_beside_it_works(
    fake: Fake, shown: Callable[[], Direct], what: str, caplog: pytest.LogCaptureFixture
) -> None:
    fake.alias("good", [fake.layer(b"content", "file")])
    fake.manifests["bad"] = NO_MANIFESTS[what]
    view = shown()
    with within(5):
        assert no_answer(view, "r/bad") == errno.EIO
    assert not [record for record in caplog.records if record.exc_info]
    assert view.list("r") == ["bad", "good"]
    assert view.read_bytes("r/good/file") == b"content"


@pytest.mark.logs(r"^list r/bad: an answer of more than \d+ bytes$")
@pytest.mark.parametrize("coded", [False, True])
def test_a_manifest_of_100_mib_is_refused_and_costs_little_memory(
    fake: Fake, shown: Callable[[], Direct], coded: bool
) -> None:
    body = b" " * (100 * MIB)
    body = gzip.compress(body, 1) if coded else body
    fake.instead = lambda request: Answer(200, (GZIP,) if coded else (), body) if "/bad" in request.path else None
    fake.alias("bad", [])
    view = shown()
    tracemalloc.start()
    try:
        assert no_answer(view, "r/bad") == errno.EIO
        assert tracemalloc.get_traced_memory()[1] < 100 * MIB
    finally:
        tracemalloc.stop()


def test_an_alias_of_100_000_layers_is_listed_and_read_in_reasonable_time_and_memory(
    fake: Fake, http_fake: Server, mount: NewMount
) -> None:
    last = fake.layer(b"the last", "dir/last")
    layers = [
        {"mediaType": "text/plain", "digest": f"sha256:{number:064x}", "size": 5, "annotations": {TITLE: f"f{number}"}}
        for number in range(100_000)
    ]
    fake.alias("many", [*layers, last])
    view = mount(url(http_fake), ttl=60)
    before = memory(view.pid)
    with within(30):
        assert len(view.list("r/many")) == 100_001
        assert view.read_bytes("r/many/dir/last") == b"the last"
        assert view.stat("r/many/f99999").size == 5
    assert memory(view.pid) - before < 400 * MIB


# Fields of the wrong kind

VALUES: list[Any] = [None, True, 0, -1, 2**63, 2**64, 1e300, "", "x", [], [[]], {}, {"a": 1}, "\ud800", ["x"]]
LAYER_FIELDS = ["mediaType", "digest", "size", "annotations", "platform", "urls", "data"]
MANIFEST_FIELDS = ["schemaVersion", "config", "layers", "annotations", "subject", "artifactType", "manifests"]


@pytest.mark.logs(r"r/v1")
@pytest.mark.parametrize("name", LAYER_FIELDS)
def test_a_layer_with_a_field_of_any_kind_does_not_disturb_the_others(
    fake: Fake, shown: Callable[[], Direct], name: str
) -> None:
    for number, value in enumerate(VALUES):
        fake.alias(f"v{number}", [{**fake.layer(b"bad", "bad"), name: value}, fake.layer(b"content", "good")])
    view = shown()
    for number in range(len(VALUES)):
        assert "good" in view.list(f"r/v{number}")
        for entry in view.list(f"r/v{number}"):
            view.stat(f"r/v{number}/{entry}")
            view.xattrs(f"r/v{number}/{entry}")
        assert view.read_bytes(f"r/v{number}/good") == b"content"


@pytest.mark.logs(r"^list r/v1: (not a |unsupported )")
@pytest.mark.parametrize("name", MANIFEST_FIELDS)
def test_a_manifest_with_a_field_of_any_kind_is_shown_or_one_error(
    fake: Fake, shown: Callable[[], Direct], name: str, caplog: pytest.LogCaptureFixture
) -> None:
    for number, value in enumerate(VALUES):
        document = json.loads(fake.alias(f"v{number}", [fake.layer(b"content", "good")]))
        fake.manifests[f"v{number}"] = json.dumps({**document, name: value}).encode()
    view = shown()
    for number in range(len(VALUES)):
        with suppress(OSError):
            for entry in view.list(f"r/v{number}"):
                view.read_bytes(f"r/v{number}/{entry}")
            view.xattrs(f"r/v{number}")
            view.stat(f"r/v{number}/.oci/config.json")
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.logs(r"r/v1")
def test_an_index_with_entries_of_any_kind_shows_the_good_one(fake: Fake, shown: Callable[[], Direct]) -> None:
    good = fake.alias("v1", [fake.layer(b"content", "file")])
    entry = {"mediaType": OCI_MANIFEST, "digest": digest_of(good), "size": len(good)}
    bad: list[Any] = [
        {**entry, "platform": {"os": value, "architecture": "x"}} for value in [*VALUES, "..", "a/b", "."]
    ]
    bad += [{**entry, "digest": value} for value in VALUES] + VALUES
    entries = [*bad, {**entry, "platform": {"os": "linux", "architecture": "amd64"}}]
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
    fake.manifests["all"] = json.dumps(document).encode()
    view = shown()
    names = view.list("r/all")
    assert not {"..", ".", ""} & set(names)
    assert not [name for name in names if "/" in name]
    assert view.read_bytes("r/all/linux-amd64/file") == b"content"


def test_of_a_key_that_is_there_twice_the_bytes_are_still_those_of_the_digest(
    fake: Fake, shown: Callable[[], Direct]
) -> None:
    one, two = fake.layer(b"one", "file"), fake.layer(b"two", "file")
    text = fake.alias("v1", [one]).decode()
    fake.manifests["v1"] = text.replace('"layers":', f'"layers": {json.dumps([two])}, "layers":').encode()
    view = shown()
    assert view.read_bytes("r/v1/file") == b"one"
    assert view.xattrs("r/v1")["user.regfs.digest"] == digest_of(fake.manifests["v1"])


DIGESTS = [
    "sha256:../../../../etc/passwd",
    "../../../../etc/passwd",
    "sha256:" + "/" * 64,
    "sha256:" + "A" * 64,
    "sha256:" + "0" * 63,
    "md5:" + "0" * 32,
    "sha384:" + "0" * 96,
    "sha256+b64:x",
    "sha256:\0",
    "",
    ":",
]


def test_a_digest_that_is_none_is_left_out_and_nothing_leaves_the_cache(
    fake: Fake, shown: Callable[[], Direct], tmp_path: Path
) -> None:
    bad = [{**fake.layer(b"bad", f"bad{number}"), "digest": digest} for number, digest in enumerate(DIGESTS)]
    fake.alias("v1", [*bad, fake.layer(b"content", "good")])
    view = shown()
    assert view.list("r/v1") == ["good"]
    assert view.read_bytes("r/v1/good") == b"content"
    for digest in DIGESTS:
        name = digest.replace("\0", "0")
        if name and "/" not in name:
            assert not view.exists(f"r/.blobs/{name}")
    files = {path for path in present(tmp_path) if path.is_file()}
    assert all(view.cache in path.parents or view.state in path.parents for path in files)


@pytest.mark.logs(OTHER_BYTES)
def test_a_sha512_blob_is_verified_as_any_other(fake: Fake, shown: Callable[[], Direct]) -> None:
    right, wrong = digest_of(b"content", "sha512:" + "0" * 128), digest_of(b"other", "sha512:" + "0" * 128)
    fake.blobs |= {right: b"content", wrong: b"c0ntent"}
    layers = [
        {"digest": d, "size": 7, "annotations": {TITLE: name}} for name, d in (("right", right), ("wrong", wrong))
    ]
    fake.alias("v1", layers)
    view = shown()
    assert view.read_bytes("r/v1/right") == b"content"


@pytest.mark.logs(
    OTHER_BYTES,
    r"^(open|read) /?r/v1/bad: \S+ has 7 bytes here, its manifest says \d+$",
    r" is read uncached: File too large$",
)
@pytest.mark.parametrize("size", [0, 1, 6, 8, 10 * MIB, 2**40, 2**50, 2**62, 2**63 - 1])
def test_a_blob_of_another_length_than_its_descriptor_is_an_error(
    fake: Fake, shown: Callable[[], Direct], size: int
) -> None:
    fake.alias("v1", [{**fake.layer(b"content", "bad"), "size": size}, fake.layer(b"good", "good")])
    view = shown()
    assert view.stat("r/v1/bad").size == size
    with within(10), pytest.raises(OSError) as caught:
        read_ends(view, "r/v1/bad", size)
    assert caught.value.errno == errno.EIO
    assert view.read_bytes("r/v1/good") == b"good"


def read_ends(view: Direct, path: str, size: int) -> None:
    """The first and the last byte of a file."""
    with view.open(path) as handle:
        handle.read(1, 0)
        handle.read(1, max(0, size - 1))


@pytest.mark.logs(r"^open r/v1/file: \S+ has .* bytes here, its manifest says 7$")
def test_a_blob_that_goes_on_after_its_end_is_cut_off(fake: Fake, shown: Callable[[], Direct]) -> None:
    layer = fake.layer(b"content", "file")
    fake.alias("v1", [layer])

    def answer(request: Request) -> Answer | None:
        if layer["digest"] not in request.path:
            return None
        return Answer(200, (("Transfer-Encoding", "chunked"), ("Content-Length", "")), chunked(b"content" + b"x" * MIB))

    fake.instead = answer
    view = shown()
    with suppress(OSError):
        assert view.read_bytes("r/v1/file") == b"content"


def chunked(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content)


# Titles

TITLES = [
    "..", ".", "", "/", "/etc/passwd", "a/../../b", "//", "x" * 300, "é" * 200, "a\nb", "\x1b[2J",
    "a\0b", "\x7f", "\ud800", "a/" * 3000 + "b", ".oci/manifest.json", ZEROS, ".oci",
]  # fmt: skip


def test_a_title_that_is_no_harmless_path_is_not_used(fake: Fake, http_fake: Server, mount: NewMount) -> None:
    bad = [fake.layer(f"bad {number}".encode(), title) for number, title in enumerate(TITLES)]
    fake.alias("v1", [*bad, fake.layer(b"content", "dir/good")])
    view = mount(url(http_fake))
    assert view.list("r/v1") == sorted([*{layer["digest"] for layer in bad}, "dir"])
    for layer in bad:
        assert view.read_bytes(f"r/v1/{layer['digest']}") == fake.blobs[layer["digest"]]
    assert view.read_bytes("r/v1/dir/good") == b"content"


@pytest.mark.logs(r"^getxattr /r/v1\S*: .*surrogates not allowed$")
def test_annotations_of_any_kind_break_no_listing_of_attributes(fake: Fake, http_fake: Server, mount: NewMount) -> None:
    odd = {"a\0b": "x", "k" * 300: "x", "long": "x" * 100_000, "": "x", "\ud800": "x", "v": "\ud800", "n": "a\0b\n"}
    times = {f"t{number}": value for number, value in enumerate(["9" * 5000, "0000-00-00T00:00:00Z", "-1"])}
    fake.alias("v1", [{**fake.layer(b"content", "file"), "annotations": {TITLE: "file", **odd}}], annotations=odd)
    for name, value in times.items():
        layer = fake.layer(b"content", "file")
        layer["annotations"]["org.opencontainers.image.created"] = value
        fake.alias(name, [layer])
    view = mount(url(http_fake))
    for path in ("r/v1", "r/v1/file"):
        names = os.listxattr(view.path(path))
        assert "user.regfs.digest" in names
        for name in names:
            with suppress(OSError):
                os.getxattr(view.path(path), name)
    for name in times:
        assert view.read_bytes(f"r/{name}/file") == b"content"
    assert "Traceback" not in view.log()


# Listings

NAMES = [
    "..",
    ".",
    "",
    "/",
    "a/../b",
    "/etc",
    "a//b",
    "UPPER",
    "x" * 300,
    "a\nb",
    "\0",
    "\ud800",
    3,
    None,
    [],
    {},
    "a:b",
]


def test_names_in_a_catalog_that_are_none_are_left_out(fake: Fake, http_fake: Server, mount: NewMount) -> None:
    fake.alias("v1", [fake.layer(b"content", "file")])
    body = json.dumps({"repositories": [*NAMES, "r"]}).encode()
    fake.instead = lambda request: Answer(200, (JSON,), body) if "_catalog" in request.path else None
    view = mount(url(http_fake))
    assert view.list() == ["r"]
    assert view.read_bytes("r/v1/file") == b"content"


def test_aliases_that_are_none_are_left_out(fake: Fake, http_fake: Server, mount: NewMount) -> None:
    fake.alias("v1", [fake.layer(b"content", "file")])
    body = json.dumps({"tags": [*NAMES, "v1"]}).encode()
    fake.instead = lambda request: Answer(200, (JSON,), body) if "/tags/" in request.path else None
    view = mount(url(http_fake))
    assert view.list("r") == ["UPPER", "v1"]
    assert view.read_bytes("r/v1/file") == b"content"


@pytest.mark.logs(r": a listing that does not end is cut off$")
@pytest.mark.parametrize("per_page", [0, 1, 1000])
def test_a_listing_that_never_ends_is_cut_off(
    fake: Fake, shown: Callable[[], Direct], per_page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("regfs.registry.http.listing._MAX_NAMES", 20_000)
    monkeypatch.setattr("regfs.registry.http.listing._LISTING_PAGES", 200)
    pages = iter(range(10**9))

    def answer(request: Request) -> Answer | None:
        if "/tags/" not in request.path:
            return None
        page = next(pages)
        link = ("Link", f'</v2/r/tags/list?page={page}>; rel="next"')
        tags = [f"v{page}-{number}" for number in range(per_page)]
        return Answer(200, (JSON, link), json.dumps({"tags": tags}).encode())

    fake.instead = answer
    with within(20):
        assert len(shown().list("r")) <= 20_000


@pytest.mark.logs(r": a listing that does not end is cut off$")
def test_a_listing_of_pages_that_are_too_long_together_is_cut_off(
    fake: Fake, shown: Callable[[], Direct], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("regfs.registry.http.listing._LISTING_BYTES", 3 * MIB)
    asked = []

    def answer(request: Request) -> Answer | None:
        if "/tags/" not in request.path:
            return None
        asked.append(request)
        link = ("Link", f'</v2/r/tags/list?page={len(asked)}>; rel="next"')
        return Answer(200, (JSON, link), json.dumps({"tags": ["v1", "x" * MIB]}).encode())

    fake.instead = answer
    assert shown().list("r") == ["v1"]
    assert len(asked) <= 4


def test_a_link_that_loops_is_the_end_of_a_listing(fake: Fake, shown: Callable[[], Direct]) -> None:
    asked = []

    def answer(request: Request) -> Answer | None:
        if "/tags/" not in request.path:
            return None
        asked.append(request)
        link = ("Link", f'</v2/r/tags/list?page={len(asked) % 3}>; rel="next"')
        return Answer(200, (JSON, link), b'{"tags": ["v1"]}')

    fake.instead = answer
    assert shown().list("r") == ["v1"]
    assert len(asked) <= 5


def test_a_link_to_another_host_is_not_followed_there(
    fake: Fake, shown: Callable[[], Direct], serve: Callable[..., Server]
) -> None:
    other = serve(lambda request: Answer(200, (JSON,), b'{"tags": ["stolen"]}'))

    def answer(request: Request) -> Answer | None:
        link = () if "page" in request.path else (("Link", f'<http://{other.host}/v2/r/tags/list?page=2>; rel="next"'),)
        return Answer(200, (JSON, *link), b'{"tags": ["v1"]}') if "/tags/" in request.path else None

    fake.instead = answer
    assert shown().list("r") == ["v1"]
    assert other.requests == []


@pytest.mark.logs(r"^list r: \S+ answers a listing with what is none$")
@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"tags": 3}', b'{"tags": {"a": 1}}', deep(100_000), b"\xff"])
def test_a_listing_that_is_none_is_an_error_or_empty(fake: Fake, shown: Callable[[], Direct], body: bytes) -> None:
    fake.instead = lambda request: Answer(200, (JSON,), body) if "/tags/" in request.path else None
    view = shown()
    with suppress(OSError):
        assert view.list("r") == []
    assert view.list() == ["r"]


@pytest.mark.logs(
    STALE,
    r"^(list|stat|open) /\S*: an answer of more than \d+ bytes$",
    r"^(list|stat|open) /\S*: \S+ answers 500 ",
    r"^open /r/v2/file: \S+ has \d+ bytes here, its manifest says 12$",
)
@pytest.mark.parametrize("where", ["_catalog", "/tags/", "/manifests/", "/blobs/"])
@pytest.mark.parametrize("status", [200, 500])
def test_an_answer_that_explodes_leaves_the_mount_small(
    fake: Fake, http_fake: Server, mount: NewMount, where: str, status: int
) -> None:
    bomb = gzip.compress(bytes(256 * MIB), 1)
    fake.alias("v1", [fake.layer(b"content", "file")])
    fake.alias("v2", [fake.layer(b"more content", "file")])
    view = mount(url(http_fake), retries=0)
    assert view.read_bytes("r/v1/file") == b"content"
    before = memory(view.pid)
    fake.instead = lambda request: Answer(status, (JSON, GZIP), bomb) if where in request.path else None
    for ask in (view.list, lambda: view.list("r"), lambda: view.read_bytes("r/v2/file")):
        with suppress(OSError):
            ask()
    fake.instead = lambda request: None
    assert memory(view.pid) - before < 100 * MIB
    assert view.read_bytes("r/v1/file") == b"content"
    assert "Traceback" not in view.log()


@pytest.mark.logs(r"^list /r/bad: unsupported manifest type: ")
def test_what_a_registry_says_cannot_forge_a_line_of_the_log(fake: Fake, http_fake: Server, mount: NewMount) -> None:
    fake.manifests["bad"] = json.dumps({"mediaType": "x\n2026-01-01 1 ERROR forged\x1b[2J"}).encode()
    view = mount(url(http_fake))
    with pytest.raises(OSError):
        view.list("r/bad")
    assert "forged" in view.log()
    assert "\x1b" not in view.log()
    assert not [line for line in view.log().splitlines() if line.startswith("2026-01-01 1 ERROR forged")]


@pytest.mark.logs(r"r/v1")
def test_titles_that_make_directories_without_end_leave_memory_bounded(fake: Fake, shown: Callable[[], Direct]) -> None:
    deep_ones = [fake.layer(f"{n}".encode(), f"{n}/" + "a/" * 2000 + "b") for n in range(300)]
    wide_ones = [fake.layer(f"w{n}".encode(), f"{n}/" + "a/" * 100 + "b") for n in range(3000)]
    fake.alias("v1", [*deep_ones, *wide_ones, fake.layer(b"content", "good")])
    view = shown()
    tracemalloc.start()
    try:
        assert "good" in view.list("r/v1")
        assert tracemalloc.get_traced_memory()[1] < 200 * MIB
    finally:
        tracemalloc.stop()
    assert view.read_bytes("r/v1/good") == b"content"


@pytest.mark.logs(r"^list r/v1: not a manifest that can be worked with: it has 200000 entries$")
def test_more_layers_than_can_be_worked_with_are_one_error(fake: Fake, shown: Callable[[], Direct]) -> None:
    fake.alias("v1", [{"digest": ZEROS, "size": 1}] * 200_000)
    with within(10):
        assert no_answer(shown(), "r/v1") == errno.EIO
