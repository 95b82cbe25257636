"""Lists: pages of every form, names that are not listed, and registries that list nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import pytest

from tests.servers import Answer
from tests.zoo.backends import Memory
from tests.zoo.calls import Call, document, error
from tests.zoo.client import Home
from tests.zoo.conftest import NewZoo
from tests.zoo.profile import Listing
from tests.zoo.profiles import artifactory, cloudflare, nexus, zot
from tests.zoo.registry import Zoo
from tests.zoo.shapes import only

TAGS = [f"v{number:03}" for number in range(150)]


@pytest.fixture
def tags(memory: Memory) -> None:
    """More tags than are on a page."""
    for tag in TAGS:
        memory.publish("team/tool", tag, [])


def listed(home: Home, registry: Zoo) -> list[str]:
    """What ``regfs ls`` prints."""
    return home("ls", f"{registry.host}/team/tool").split()


@pytest.mark.usefixtures("tags")
def test_a_page_that_is_refused_is_asked_for_smaller(home: Home, zoo: NewZoo) -> None:
    """distribution/distribution#4856, #4353: PAGINATION_NUMBER_INVALID."""

    def script(call: Call) -> Answer | None:
        too_many = call.kind in ("tags", "catalog") and int(call.query.get("n", "0")) > 100
        return error(400, "PAGINATION_NUMBER_INVALID", "invalid number of results requested") if too_many else None

    with zoo(only(listing=Listing(page_by_default=1000)), script=script) as registry:
        assert listed(home, registry) == TAGS
        assert home("ls", registry.host).split() == ["team/tool"]
        with home.mount(f"{registry.host}/team/tool") as where:
            assert sorted(os.listdir(where)) == TAGS


LINKS: dict[str, Callable[[Zoo, Call, int, str], str | None]] = {
    "a path": lambda zoo, call, n, last: f'<{call.path}?n={n}&last={last}>; rel="next"',
    "an address": lambda zoo, call, n, last: f'<{zoo.origin}{call.path}?n={n}&last={last}>; rel="next"',
    "a query": lambda zoo, call, n, last: f'<?n={n}&last={last}>; rel="next"',
    "no quotes": lambda zoo, call, n, last: f"<{call.path}?n={n}&last={last}>; rel=next",
    "capitals": lambda zoo, call, n, last: f'<{call.path}?n={n}&last={last}> ; REL="Next"',
    "several": lambda zoo, call, n, last: f'</v2/>; rel="up", <{call.path}?n={n}&last={last}>; rel="prev next"',
    "plain HTTP behind a proxy": lambda zoo, call, n, last: (
        f'<http://internal{call.path}?n={n}&last={last}>; rel="next"'
    ),
    "no brackets": zot.PROFILE.listing.link,  # project-zot/zot, routes.go
    "no brackets and no quotes": cloudflare.PROFILE.listing.link,  # cloudflare/serverless-registry, router.ts
    "a path that is not there": nexus.PROFILE.listing.link,  # sonatype/nexus-public#1011
    "a part of the name": artifactory.PROFILE.listing.link,  # renovatebot/renovate#15030
    "nothing": lambda zoo, call, n, last: None,  # sonatype/nexus-public#209, go-containerregistry
}


@pytest.mark.usefixtures("tags")
@pytest.mark.parametrize("name", LINKS)
def test_the_next_page_is_found(home: Home, zoo: NewZoo, name: str) -> None:
    with zoo(only(listing=Listing(page=1000, page_by_default=1000, link=LINKS[name]))) as registry:
        assert listed(home, registry) == TAGS


@pytest.mark.usefixtures("tags")
@pytest.mark.parametrize("name", ["no brackets and no quotes", "a path"])
def test_a_link_on_the_last_page_ends(home: Home, zoo: NewZoo, name: str) -> None:
    """cloudflare/serverless-registry, router.ts: to an empty page, and from there to the first."""
    with zoo(only(listing=Listing(page=1000, link=LINKS[name], always_linked=True))) as registry:
        assert listed(home, registry) == TAGS
        assert len(registry.statuses("tags")) < 10


@pytest.mark.usefixtures("tags")
def test_a_page_that_repeats_is_the_last(home: Home, zoo: NewZoo) -> None:
    """project-zot/zot and others: a Link that leads to the same page again."""

    def again(zoo: Zoo, call: Call, n: int, last: str) -> str:
        return f'<{call.path}?n={n}&seen={len(zoo.calls)}>; rel="next"'

    with zoo(only(listing=Listing(link=again, always_linked=True))) as registry:
        assert listed(home, registry) == TAGS
        assert len(registry.statuses("tags")) < 10


@pytest.mark.usefixtures("tags")
def test_pages_that_overlap_list_each_name_once(home: Home, zoo: NewZoo) -> None:
    def overlapping(zoo: Zoo, call: Call, n: int, last: str) -> str:
        return f'<{call.path}?n={n}&last={TAGS[TAGS.index(last) - 2]}>; rel="next"'

    with zoo(only(listing=Listing(page=1000, link=overlapping))) as registry:
        assert listed(home, registry) == TAGS


@pytest.mark.usefixtures("tags")
def test_names_that_are_no_tags_are_not_listed(home: Home, zoo: NewZoo) -> None:
    """cloudflare/serverless-registry, router.ts: digests among the tags."""
    extra = cloudflare.PROFILE.listing.extra
    with zoo(only(listing=Listing(extra=extra))) as registry:
        assert listed(home, registry) == TAGS


def test_a_tag_that_is_not_listed_is_there(home: Home, memory: Memory, zoo: NewZoo) -> None:
    """goharbor/harbor#15513, project-zot/zot#4081, gadievron/raptor#495: lists of caches, late ones, cut ones."""
    for tag in ("v1", "late"):
        memory.artifact("team/tool", tag, {"f": tag.encode()})
    late = document(200, {"tags": ["v1"]})
    with zoo(script=lambda call: late if call.kind == "tags" else None) as registry:
        assert home("get", f"{registry.host}/team/tool:late", "f", "-o", "-") == "late"
        with home.mount("--ttl", "0", f"{registry.host}/team/tool") as where:
            assert (where / "late/f").read_bytes() == b"late"
            assert not (where / "never").exists()
            (where / "late/g").write_bytes(b"g")
        with home.mount("--ttl", "0", registry.host) as where:
            assert (where / "team/tool/late/f").read_bytes() == b"late"
            assert (where / "team/tool:late/f").read_bytes() == b"late"
        assert memory.files("team/tool", "late") == {"f": b"late", "g": b"g"}


def test_making_a_tag_that_is_not_listed_loses_nothing(home: Home, memory: Memory, zoo: NewZoo) -> None:
    memory.artifact("team/tool", "late", {"f": b"late"})
    late = document(200, {"tags": ["v1"]})
    with zoo(script=lambda call: late if call.kind == "tags" else None) as registry:
        with home.mount("--ttl", "0", f"{registry.host}/team/tool") as where, pytest.raises(FileExistsError):
            (where / "late").mkdir()
        assert memory.files("team/tool", "late") == {"f": b"late"}


@pytest.mark.parametrize("tags", [[], None])
def test_a_name_that_is_not_there_may_have_no_tags(home: Home, memory: Memory, zoo: NewZoo, tags: object) -> None:
    """Registries without a catalog that answer 200 and no tags for any name: not every name is a directory."""

    def script(call: Call) -> Answer | None:
        if call.kind == "catalog":
            return Answer(404)
        empty = call.kind == "tags" and not memory.tags(call.repository)
        return Answer(200, body=json.dumps({"name": call.repository, "tags": tags}).encode()) if empty else None

    with zoo(script=script) as registry, home.mount("--ttl", "0", registry.host) as where:
        (where / "new").mkdir()
        (where / "new/v1").mkdir()
        (where / "new/v1/f").write_bytes(b"content")
        assert memory.files("new", "v1") == {"f": b"content"}
        assert not (where / "never").exists()


def test_a_namespace_is_mounted_as_such(home: Home, memory: Memory, zoo: NewZoo) -> None:
    for name in ("team/one", "team/deep/two", "other/three"):
        memory.artifact(name, "v1", {"f": name.encode()})
    with zoo() as registry, home.mount(f"{registry.host}/team") as where:
        assert sorted(os.listdir(where)) == ["deep", "one"]
        assert (where / "deep/two/v1/f").read_bytes() == b"team/deep/two"


def test_a_namespace_without_a_catalog_is_mounted(home: Home, memory: Memory, zoo: NewZoo) -> None:
    memory.artifact("team/one", "v1", {"f": b"one"})
    listing = Listing(catalog=lambda zoo, call: error(401, "UNAUTHORIZED"))
    with zoo(only(listing=listing)) as registry, home.mount(f"{registry.host}/team") as where:
        assert (where / "one/v1/f").read_bytes() == b"one"


def test_a_registry_without_lists_has_its_tags(home: Home, memory: Memory, zoo: NewZoo) -> None:
    """zuul-registry, route_map."""
    memory.artifact("team/one", "v1", {"f": b"one"})
    listing = Listing(tags=False, catalog=lambda zoo, call: Answer(404))
    with zoo(only(listing=listing)) as registry, home.mount("--ttl", "0", f"{registry.host}/team/one") as where:
        assert (where / "v1/f").read_bytes() == b"one"
        (where / "v1/g").write_bytes(b"two")
    assert memory.files("team/one", "v1") == {"f": b"one", "g": b"two"}
