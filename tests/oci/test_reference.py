"""The grammar of names, and references made of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regfs.oci import reference as references
from regfs.oci.reference import InvalidReference, Reference, parse_reference

DIGEST = "sha256:" + "0123456789abcdef" * 4
SHA512 = "sha512:" + "0123456789abcdef" * 8

components = st.from_regex(r"[a-z0-9]{1,4}((\.|_|__|-{1,3})[a-z0-9]{1,4}){0,2}", fullmatch=True)
repositories = st.lists(components, min_size=1, max_size=4).map("/".join)
aliases = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", fullmatch=True)
digests = st.from_regex(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}", fullmatch=True)
hosts = st.sampled_from(["localhost", "localhost:5000", "a-b.example.com", "127.0.0.1:1", "[::1]:65535", "[::1]"])


@pytest.mark.parametrize("name", ["a", "a/b", "fred/datalogger", "a.b_c__d-e---f/0", "a" * 255])
def test_a_repository_name_follows_the_specification(name: str) -> None:
    assert references.is_repository(name)


@pytest.mark.parametrize(
    "name",
    ["", "/", "a/", "/a", "a//b", "A", "a/B", "a.", ".a", "a..b", "a___b", "-a", "a b", "a:b", "a@b", "é", "a\n", "..",
     "a" * 256],
)  # fmt: skip
def test_what_is_no_repository_name_is_refused(name: str) -> None:
    assert not references.is_repository(name)


@pytest.mark.parametrize("name", ["a", "A", "_", "0", "v1.2-rc_3", "a" * 128])
def test_an_alias_follows_the_specification(name: str) -> None:
    assert references.is_alias(name)


@pytest.mark.parametrize("name", ["", ".a", "-a", "a/b", "a b", "a:b", "a" * 129, "a\n", "é"])
def test_what_is_no_alias_is_refused(name: str) -> None:
    assert not references.is_alias(name)


@pytest.mark.parametrize("name", [DIGEST, SHA512])
def test_a_digest_is_of_a_known_algorithm(name: str) -> None:
    assert references.is_digest(name)


@pytest.mark.parametrize(
    "name",
    ["", "sha256", "sha256:", DIGEST[:-1], DIGEST + "0", DIGEST.upper(), "sha1:" + "0" * 40, DIGEST + "\n",
     "sha512:" + "0" * 64, "sha256:" + "../" * 21 + "0"],
)  # fmt: skip
def test_what_is_no_digest_is_refused(name: str) -> None:
    assert not references.is_digest(name)


def test_a_component_has_no_slash() -> None:
    assert references.is_component("a-b")
    assert not references.is_component("a/b")


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a:b", ("a", "b")),
        ("a/b:C", ("a/b", "C")),
        (f"a@{DIGEST}", ("a", DIGEST)),
        ("a", None),
        ("a:", None),
        (":b", None),
        ("a@b", None),
        (f"a:b@{DIGEST}", None),
        ("A:b", None),
        (DIGEST, ("sha256", DIGEST.partition(":")[2])),
    ],
)
def test_a_name_is_split_into_repository_and_alias_or_digest(name: str, parts: tuple[str, str] | None) -> None:
    assert references.split_name(name) == parts


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("localhost:5000", Reference("localhost:5000")),
        ("localhost:5000/", Reference("localhost:5000")),
        ("http://localhost", Reference("localhost", "http")),
        ("https://h.example/a/b", Reference("h.example", "https", "a/b")),
        ("localhost:5000/a/b:v1", Reference("localhost:5000", None, "a/b", "v1")),
        (f"localhost/a@{DIGEST}", Reference("localhost", None, "a", DIGEST)),
        ("[::1]:5000/a", Reference("[::1]:5000", None, "a")),
    ],
)
def test_a_reference_has_host_scheme_repository_and_alias(text: str, parsed: Reference) -> None:
    assert parse_reference(text) == parsed


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "names no host"),
        ("/a", "names no host"),
        ("ftp://h", "unknown scheme 'ftp'"),
        ("fred:secret@h/a", "credentials do not belong"),
        ("h:0", "port 0 is out of range"),
        ("h:70000/a", "port 70000 is out of range"),
        ("h_h", "not a host name"),
        ("[1.2:3]", "not a host name"),
        ("[:]/a", "not a host name"),
        ("h/A", "did you mean 'h/a'"),
        ("h/a:", "not an alias"),
        ("h/a@sha256:1", "is not a digest"),
        (f"h/a:b@{DIGEST}", "both an alias and a digest"),
    ],
)
def test_a_wrong_reference_says_what_to_write_instead(text: str, hint: str) -> None:
    with pytest.raises(InvalidReference, match=r"^[^\n]+$") as caught:
        parse_reference(text)
    assert hint in str(caught.value)


def test_credentials_in_a_reference_are_not_repeated() -> None:
    with pytest.raises(InvalidReference) as caught:
        parse_reference("https://fred:secret@h/a")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("host", ["localhost", "localhost:5000", "127.0.0.1", "127.1.2.3:80", "[::1]:5000"])
def test_this_machine_is_loopback(host: str) -> None:
    assert parse_reference(host).is_loopback


@pytest.mark.parametrize("host", ["example.com", "localhost.example.com", "10.0.0.1", "[::2]"])
def test_another_machine_is_not_loopback(host: str) -> None:
    assert not parse_reference(host).is_loopback


@given(hosts, st.sampled_from([None, "http", "https"]), st.none() | repositories, st.none() | aliases | digests)
def test_a_reference_is_parsed_back_from_its_text(
    host: str, scheme: str | None, repository: str | None, alias: str | None
) -> None:
    made = Reference(host, scheme, repository, alias if repository else None)
    assert parse_reference(str(made)) == made


@given(st.text() | st.text("[]:/@.ha0-", max_size=20) | st.from_regex(r"(https?://)?[^/]+/[^@]+(@|:).+"))
def test_parsing_any_text_gives_a_reference_or_a_named_error(text: str) -> None:
    try:
        parsed = parse_reference(text)
    except InvalidReference:
        return
    assert parse_reference(str(parsed)) == parsed
    assert parsed.is_loopback in (True, False)


@given(st.text() | st.text("a:@/", max_size=8), repositories, aliases | digests)
def test_splitting_undoes_joining_and_no_text_breaks_it(text: str, repository: str, alias: str) -> None:
    separator = "@" if references.is_digest(alias) else ":"
    assert references.split_name(f"{repository}{separator}{alias}") == (repository, alias)
    parts = references.split_name(text)
    assert parts is None or text in (":".join(parts), "@".join(parts))
