"""Whom to trust: certificates, mirrors that may lie or be dead, and what a mount says of it."""

from __future__ import annotations

import base64
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.contents import flip
from tests.counting import Counting
from tests.logs import OTHER_BYTES
from tests.registries import PASSWORD, USER, Lab, Registry
from tests.scenarios.foreign import Foreign
from tests.scenarios.views import Mounted, environment, run
from tests.security.conftest import NewServer, within
from tests.servers import Answer, Request, Server, forward

NewMount = Callable[..., Mounted]
CONTENT = bytes(range(256)) * 40_000


@pytest.fixture
def origin(lab: Lab) -> Iterator[Registry]:
    """A registry with one file, behind which nobody counts."""
    registry = lab.start("plain")
    client = Foreign(registry)
    client.artifact("r", "v1", {"small": b"content", "large": CONTENT})
    client.close()
    yield registry
    registry.stop()


@pytest.fixture
def front(origin: Registry) -> Iterator[Counting]:
    """It, with somebody who counts."""
    counting = Counting(origin.host)
    yield counting
    counting.server.stop()


@pytest.fixture
def cached(lab: Lab, origin: Registry) -> Iterator[Counting]:
    """A pull-through cache of it, a real docker-registry, with somebody who counts."""
    registry = lab.start("plain", proxy=origin.url)
    counting = Counting(registry.host)
    yield counting
    counting.server.stop()
    registry.stop()


def read_all(view: Mounted) -> None:
    assert view.read_bytes("r/v1/small") == b"content"
    assert view.read_bytes("r/v1/large") == CONTENT


def below(counting: Counting, kind: str) -> list[Request]:
    return [request for request, _ in counting.exchanges if f"/{kind}/" in request.path]


# Mirrors


def test_a_read_goes_to_the_mirror_and_a_push_to_the_origin_alone(
    front: Counting, cached: Counting, mount: NewMount
) -> None:
    view = mount(front.url, mirror=cached.url)
    read_all(view)
    assert below(cached, "blobs")
    assert below(front, "blobs") == []
    view.write_bytes("r/v1/new", b"new content")
    assert {request.method for request, _ in cached.exchanges} <= {"GET", "HEAD"}
    assert "PUT" in {request.method for request, _ in front.exchanges}
    assert view.read_bytes("r/v1/new") == b"new content"


CONFIGURED: dict[str, Callable[[Path, Counting, Counting], object]] = {
    "hosts.toml": lambda home, origin, mirror: written(
        home / ".config/containerd/certs.d" / origin.server.host / "hosts.toml", f'[host."{mirror.url}"]\n'
    ),
    "registries.conf": lambda home, origin, mirror: written(
        home / ".config/containers/registries.conf",
        f'[[registry]]\nlocation = "{origin.server.host}"\n'
        f'[[registry.mirror]]\nlocation = "{mirror.server.host}"\ninsecure = true\n',
    ),
}


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize("where", list(CONFIGURED))
def test_a_mirror_that_is_configured_for_other_programs_is_used(
    front: Counting, cached: Counting, mount: NewMount, tmp_path: Path, where: str
) -> None:
    CONFIGURED[where](tmp_path, front, cached)
    read_all(mount(front.url, tmp_path))
    assert below(cached, "blobs")
    assert below(front, "blobs") == []


def test_a_dead_mirror_is_left_alone_for_a_while(front: Counting, mount: NewMount) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        dead = f"http://localhost:{taken.getsockname()[1]}"
    view = mount(front.url, mirror=dead)
    with within(10):
        read_all(view)
    assert view.log().count("is left alone") == 1


def test_a_mirror_that_hangs_does_not_stop_a_read(front: Counting, mount: NewMount) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        view = mount(front.url, mirror=f"http://localhost:{silent.getsockname()[1]}", timeout=0.5)
        with within(10):
            read_all(view)


def test_a_mirror_without_the_blob_does_not_stop_a_read(front: Counting, cached: Counting, mount: NewMount) -> None:
    cached.instead = lambda request: Answer(404) if "/blobs/" in request.path else None
    read_all(mount(front.url, mirror=cached.url))
    assert below(front, "blobs")


@pytest.mark.logs(OTHER_BYTES)
def test_a_mirror_that_lies_is_found_out_and_left_alone(front: Counting, cached: Counting, mount: NewMount) -> None:
    def lie(request: Request) -> Answer | None:
        if "/blobs/" not in request.path or request.method != "GET":
            return None
        answer = cached._forward(request)
        return Answer(answer.status, answer.headers, bytes([answer.body[0] ^ 1]) + answer.body[1:])

    cached.instead = lie
    view = mount(front.url, mirror=cached.url)
    assert view.read_bytes("r/v1/small") == b"content"
    before = len(cached.exchanges)
    assert view.read_bytes("r/v1/small") == b"content"
    assert [r for r, _ in cached.exchanges[before:] if "/blobs/" in r.path] == []
    assert "is left alone" in view.log()


@pytest.mark.logs(r"is left alone")
def test_a_mirror_whose_manifest_is_not_its_digest_is_left_alone(
    front: Counting, cached: Counting, mount: NewMount
) -> None:
    def lie(request: Request) -> Answer | None:
        if "/manifests/" not in request.path:
            return None
        answer = cached._forward(request)
        return Answer(answer.status, answer.headers, answer.body.replace(b"small", b"smile"))

    cached.instead = lie
    view = mount(front.url, mirror=cached.url)
    assert view.list("r/v1") == ["large", "small"]


@pytest.mark.logs(OTHER_BYTES)
def test_bytes_that_changed_in_the_origin_are_never_served(origin: Registry, mount: NewMount) -> None:
    client = Foreign(origin)
    layer = client.document("r", "v1")["layers"][0]
    client.close()
    flip(origin.blob_path(layer["digest"]), 0)
    view = mount(origin.url)
    with pytest.raises(OSError):
        view.read_bytes("r/v1/small")


def test_a_mirror_gets_no_credential_of_the_origin(lab: Lab, htpasswd: Registry, mount: NewMount, serve: NewServer,
                                                   tmp_path: Path) -> None:  # fmt: skip
    challenge = (("WWW-Authenticate", 'Basic realm="r"'),)
    mirror = serve(lambda request: Answer(401, challenge))
    auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    path = tmp_path / ".docker" / "config.json"
    written(path, f'{{"auths": {{"{htpasswd.host}": {{"auth": "{auth}"}}}}}}')
    view = mount(htpasswd.host, tmp_path, ca_file=lab.ca, mirror=f"http://{mirror.host}")
    view.list()
    with pytest.raises(OSError):
        view.read_bytes("nothing:v1/file")
    assert mirror.requests
    assert all("authorization" not in request.headers for request in mirror.requests)


# TLS


def mounted(home: Path, host: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    (home / "mnt").mkdir(exist_ok=True)
    given = {**environment(home), **variables}
    done = run("mount", *arguments, host, str(home / "mnt"), environment=given)
    if done.returncode == 0:
        os.listdir(home / "mnt")
        run("umount", str(home / "mnt"), environment=given)
    return done


@pytest.mark.logs(r": its TLS certificate cannot be verified; ")
def test_a_certificate_that_nobody_vouches_for_is_refused(tls: Registry, tmp_path: Path) -> None:
    done = mounted(tmp_path, tls.host)
    assert done.returncode == 1
    assert "cannot be verified" in done.stderr


@pytest.mark.logs(r": its TLS certificate cannot be verified; ")
def test_a_certificate_of_another_name_is_refused(lab: Lab, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.2", 0)) as listener:
        threading.Thread(target=greet, args=(listener, lab.server_context()), daemon=True).start()
        other = f"127.0.0.2:{listener.getsockname()[1]}"
        done = mounted(tmp_path, f"https://{other}", "--ca-file", lab.ca)
        listener.shutdown(socket.SHUT_RDWR)  # ends the thread that accepts
    assert done.returncode == 1
    assert "cannot be verified" in done.stderr


def greet(listener: socket.socket, context: ssl.SSLContext) -> None:
    """Make TLS connections, and say nothing."""
    with suppress(OSError):
        while True:
            with suppress(ssl.SSLError):
                context.wrap_socket(listener.accept()[0], server_side=True).close()


def test_the_systems_authorities_are_trusted(lab: Lab, tls: Registry, tmp_path: Path) -> None:
    assert mounted(tmp_path, tls.host, SSL_CERT_FILE=lab.ca).returncode == 0


@pytest.mark.parametrize("bundle", ["/nonexistent", "/dev/null"])
def test_a_bundle_of_the_environment_does_not_break_ca_file(
    lab: Lab, tls: Registry, tmp_path: Path, bundle: str
) -> None:
    done = mounted(tmp_path, tls.host, "--ca-file", lab.ca, REQUESTS_CA_BUNDLE=bundle, CURL_CA_BUNDLE=bundle)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("where", [".config/containers", ".config/docker", ".docker"])
def test_the_certs_d_directories_are_looked_into(lab: Lab, tls: Registry, tmp_path: Path, where: str) -> None:
    written(tmp_path / where / "certs.d" / tls.host / "ca.crt", Path(lab.ca).read_text())
    assert mounted(tmp_path, tls.host).returncode == 0


@pytest.mark.logs(r"^certificates are not verified: ")
def test_not_verifying_is_said_in_one_warning(tls: Registry, tmp_path: Path) -> None:
    assert mounted(tmp_path, tls.host, "--no-tls-verify").returncode == 0
    log = (tmp_path / "state/regfs/log/mount.log").read_text()
    assert len([line for line in log.splitlines() if " WARNING " in line]) == 1
    assert "certificates are not verified" in log


@pytest.fixture
def demanding(lab: Lab, plain: Registry, serve: NewServer) -> Server:
    """A registry that lets in only those who have a certificate of the tests' CA."""
    context = lab.server_context()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(lab.ca)
    return serve(forward(plain.host), context)


@pytest.fixture
def identity(lab: Lab, tmp_path: Path) -> tuple[str, str]:
    """A client's certificate of the tests' CA, and its key."""
    key, request, certificate = (str(tmp_path / name) for name in ("c.key", "c.csr", "c.cert"))
    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=fred")
    for command in (
        ("req", *new, "-keyout", key, "-out", request),
        ("x509", "-req", "-in", request, "-CA", lab.ca, "-CAkey", lab.path("ca.key"), "-set_serial", "7", "-out",
         certificate),
    ):  # fmt: skip
        subprocess.run(["openssl", *command], check=True, capture_output=True)
    return certificate, key


@pytest.mark.logs(
    r"^localhost:\d+(: it asks for a client certificate; | does not speak TLS as expected; )"
)  # an alert may be lost
def test_a_client_certificate_lets_in(lab: Lab, demanding: Server, identity: tuple[str, str], tmp_path: Path) -> None:
    with_ca = ("--ca-file", lab.ca)
    assert mounted(tmp_path, f"https://{demanding.host}", *with_ca).returncode == 1
    options = ("--client-cert", identity[0], "--client-key", identity[1])
    done = mounted(tmp_path, f"https://{demanding.host}", *with_ca, *options)
    assert done.returncode == 0, done.stderr


def test_a_client_certificate_of_certs_d_lets_in(
    lab: Lab, demanding: Server, identity: tuple[str, str], tmp_path: Path
) -> None:
    directory = tmp_path / ".docker" / "certs.d" / demanding.host
    written(directory / "ca.crt", Path(lab.ca).read_text())
    (directory / "client.cert").write_text(Path(identity[0]).read_text())
    (directory / "client.key").write_text(Path(identity[1]).read_text())
    assert mounted(tmp_path, f"https://{demanding.host}").returncode == 0


@pytest.mark.logs(r"^registry.invalid:5000: no host of that name is known; ")
def test_a_registry_that_is_not_loopback_is_not_tried_over_plain_http(tmp_path: Path) -> None:
    done = mounted(tmp_path, "registry.invalid:5000")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
