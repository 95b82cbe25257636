"""Credentials go to the registry's own origin, however its address is written, and to no other."""

from __future__ import annotations

import pytest

from tests.contents import MIB, content_of
from tests.servers import Answer
from tests.zoo.backends import Memory
from tests.zoo.calls import Call
from tests.zoo.client import Home
from tests.zoo.conftest import NewZoo
from tests.zoo.listener import Listener
from tests.zoo.profile import Blobs, Uploads
from tests.zoo.registry import Zoo
from tests.zoo.shapes import basic

LARGE = content_of(9 * MIB)


def test_a_redirect_to_the_same_host_keeps_the_login(home: Home, memory: Memory, zoo: NewZoo) -> None:
    """containers/image#641: Pulp's, and whatever has its blobs below another path."""
    memory.artifact("a/b", "v1", {"small": b"small", "large": LARGE})
    blobs = Blobs(redirect=307, elsewhere=False, prefix="/content", wants_login=True)
    with zoo(basic(blobs=blobs)) as registry:
        home.log_in(registry.host)
        assert home("get", f"{registry.host}/a/b:v1", "small", "-o", "-") == "small"
        with home.mount(f"{registry.host}/a/b:v1") as where, open(where / "large", "rb") as file:
            file.seek(8 * MIB)
            assert file.read(10) == LARGE[8 * MIB : 8 * MIB + 10]


def test_a_redirect_to_a_storage_has_no_login(home: Home, memory: Memory, zoo: NewZoo) -> None:
    """open-policy-agent/opa#6580, Azure/acr#217: a storage refuses a second login."""
    memory.artifact("a/b", "v1", {"small": b"small", "large": LARGE})
    with zoo(basic(blobs=Blobs(redirect=307))) as registry:
        home.log_in(registry.host)
        assert home("get", f"{registry.host}/a/b:v1", "small", "-o", "-") == "small"
        home("get", f"{registry.host}/a/b:v1", "large", "-o", ".")
        assert (home.here / "large").read_bytes() == LARGE
        assert registry.storage
        assert all("authorization" not in request.headers for request in registry.storage.requests)


def test_another_port_is_another_origin(home: Home, memory: Memory, zoo: NewZoo) -> None:
    memory.artifact("a/b", "v1", {"f": b"content"})
    with Listener(lambda request: Answer(200, body=b"content")) as other:
        away = Answer(307, (("Location", f"{other.origin}/somewhere"),))
        with zoo(basic(), script=lambda call: away if call.kind == "blob" else None) as registry:
            home.log_in(registry.host)
            home.run("get", f"{registry.host}/a/b:v1", "f", "-o", "-")
            assert [request.headers.get("authorization") for request in other.requests] == [None]


def _shouted(zoo: Zoo, repository: str, session: str) -> str:
    return f"{zoo.origin.replace('localhost', 'LOCALHOST').replace('http', 'HTTP')}{_path(repository, session)}"


def _path(repository: str, session: str) -> str:
    return f"/v2/{repository}/blobs/uploads/{session}"


def _with_a_user(zoo: Zoo, repository: str, session: str) -> str:
    return f"//{zoo.host}{_path(repository, session)}"


def _relative(zoo: Zoo, repository: str, session: str) -> str:
    return session


@pytest.mark.parametrize("location", [_shouted, _with_a_user, _relative])
def test_a_location_of_the_same_origin_gets_the_login(
    home: Home, memory: Memory, zoo: NewZoo, location: object
) -> None:
    """Scheme and host have no case (RFC 3986, 6.2.2.1); a Location may be relative (RFC 9110, 10.2.2)."""
    with zoo(basic(uploads=Uploads(location=location))) as registry:  # type: ignore[arg-type]
        home.log_in(registry.host)
        home.write("f", b"content")
        home("put", f"{registry.host}/a/b:v1", "f")
        assert memory.files("a/b", "v1") == {"f": b"content"}


def _in_full(zoo: Zoo, repository: str, session: str) -> str:
    return f"http://[0:0:0:0:0:0:0:1]:{zoo.listener.port}{_path(repository, session)}"


def test_an_ipv6_address_is_written_in_many_ways(home: Home, memory: Memory, zoo: NewZoo) -> None:
    uploads = Uploads(location=_in_full)
    with zoo(basic(uploads=uploads), address="::1", name="[::1]") as registry:
        home.log_in(registry.host)
        home.write("f", b"content")
        home("put", f"http://{registry.host}/a/b:v1", "f")
        with home.mount("--insecure", registry.host) as where:
            assert (where / "a/b/v1/f").read_bytes() == b"content"
            (where / "a/b/v1/g").write_bytes(b"more")
        assert memory.files("a/b", "v1") == {"f": b"content", "g": b"more"}
        assert registry.host in home.run("status").output + home.log()


def test_a_link_leads_to_no_other_origin(home: Home, memory: Memory, zoo: NewZoo) -> None:
    memory.artifact("a/b", "v1", {"f": b"content"})
    with Listener(lambda request: Answer(200, body=b'{"tags": ["stolen"]}')) as other:
        link = f'<{other.origin}/v2/a/b/tags/list?last=v1>; rel="next"'

        def script(call: Call) -> Answer | None:
            first = call.kind == "tags" and "last" not in call.query
            return Answer(200, (("Link", link),), b'{"tags": ["v1"]}') if first else None

        with zoo(basic(), script=script) as registry:
            home.log_in(registry.host)
            home.run("ls", f"{registry.host}/a/b")
            assert [request.headers.get("authorization") for request in other.requests] == []
