"""Names, parameters and defaults of the API, as programs call it."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import regfs
from regfs import DXF, DXFBase, exceptions

SETTINGS = {"auth": None, "insecure": False, "auth_host": None, "tlsverify": True, "timeout": None}
NEEDED = inspect.Parameter.empty
BASE: dict[str, dict[str, Any]] = {
    "__init__": {"host": NEEDED, **SETTINGS},
    "authenticate": {
        "username": None,
        "password": None,
        "actions": None,
        "response": None,
        "authorization": None,
        "user_agent": "Docker-Client/19.03.2 (linux)",
    },
    "list_repos": {"batch_size": None, "iterate": False},
    "api_version_check": {},
}
REPOSITORY: dict[str, dict[str, Any]] = {
    "__init__": {"host": NEEDED, "repo": NEEDED, **SETTINGS},
    "api_version_check": {},
    "blob_size": {"digest": NEEDED},
    "del_alias": {"alias": NEEDED},
    "del_blob": {"digest": NEEDED},
    "from_base": {"base": NEEDED, "repo": NEEDED},
    "get_alias": {"alias": None, "manifest": None, "verify": True, "sizes": False, "platform": None},
    "get_digest": {"alias": None, "manifest": None, "platform": None},
    "get_manifest": {"alias": NEEDED, "platform": None},
    "get_manifest_and_response": {"alias": NEEDED},
    "head_manifest_and_response": {"alias": NEEDED},
    "list_aliases": {"batch_size": None, "iterate": False},
    "list_repos": {"batch_size": None, "iterate": False},
    "mount_blob": {"repo": NEEDED, "digest": NEEDED},
    "pull_blob": {"digest": NEEDED, "size": False, "chunk_size": None},
    "push_blob": {"filename": None, "progress": None, "data": None, "digest": None, "check_exists": True},
    "set_alias": {"alias": NEEDED, "digests": NEEDED},
    "set_manifest": {"alias": NEEDED, "manifest_json": NEEDED},
}
PLAIN = {
    "DXFAuthInsecureError",
    "DXFDigestNotAvailableForSchema1",
    "DXFMountFailed",
    "DXFSignatureChainNotImplementedError",
    "DXFUnauthorizedError",
    "DXFUnsupportedSchemaType",
}
WITH_GOT_AND_EXPECTED = {
    "DXFDigestMismatchError",
    "DXFUnexpectedDigestMethodError",
    "DXFUnexpectedKeyTypeError",
    "DXFUnexpectedStatusCodeError",
}
WITH_ONE = {"DXFDisallowedSignatureAlgorithmError": "alg", "DXFPlatformDataNotFound": "platform"}


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [(owner, *item) for owner, methods in ((DXFBase, BASE), (DXF, REPOSITORY)) for item in methods.items()],
)
def test_a_method_has_the_parameters_and_defaults_of_the_api(
    owner: type, name: str, parameters: dict[str, Any]
) -> None:
    found = inspect.signature(getattr(owner, name)).parameters
    assert {key: value.default for key, value in found.items() if key != "self"} == parameters
    assert [key for key in found if key != "self"] == list(parameters)


def test_digests_of_an_alias_are_given_one_by_one() -> None:
    assert inspect.signature(DXF.set_alias).parameters["digests"].kind is inspect.Parameter.VAR_POSITIONAL


@pytest.mark.parametrize(("name", "parameter"), [("hash_bytes", "buf"), ("hash_file", "filename")])
def test_the_hash_functions_have_one_parameter(name: str, parameter: str) -> None:
    assert list(inspect.signature(getattr(regfs, name)).parameters) == [parameter]


def test_a_repository_is_a_registry_too() -> None:
    assert issubclass(DXF, DXFBase)


def test_the_token_is_a_property() -> None:
    assert isinstance(inspect.getattr_static(DXFBase, "token"), property)


def test_the_module_of_exceptions_has_exactly_those_of_the_api() -> None:
    assert set(exceptions.__all__) == {"DXFError", "DXFUnexpectedError", *PLAIN, *WITH_GOT_AND_EXPECTED, *WITH_ONE}


@pytest.mark.parametrize("name", sorted({*PLAIN, *WITH_ONE, "DXFUnexpectedError"}))
def test_every_exception_is_a_dxf_error(name: str) -> None:
    assert getattr(exceptions, name).__bases__ == (exceptions.DXFError,)


def test_a_dxf_error_is_an_exception() -> None:
    assert exceptions.DXFError.__bases__ == (Exception,)


@pytest.mark.parametrize("name", sorted(WITH_GOT_AND_EXPECTED))
def test_an_unexpected_value_is_an_unexpected_error(name: str) -> None:
    assert getattr(exceptions, name).__bases__ == (exceptions.DXFUnexpectedError,)


@pytest.mark.parametrize("name", sorted(WITH_GOT_AND_EXPECTED | {"DXFUnexpectedError"}))
def test_an_unexpected_value_has_what_came_and_what_should_have(name: str) -> None:
    made = getattr(exceptions, name)(got="this", expected="that")
    assert (made.got, made.expected) == ("this", "that")
    assert "this" in str(made)
    assert "that" in str(made)


@pytest.mark.parametrize(("name", "attribute"), sorted(WITH_ONE.items()))
def test_an_exception_has_what_it_is_about(name: str, attribute: str) -> None:
    made = getattr(exceptions, name)("this")
    assert getattr(made, attribute) == "this"
    assert "this" in str(made)


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_an_exception_says_what_happened(name: str) -> None:
    assert str(getattr(exceptions, name)())


def test_an_unsupported_type_is_named() -> None:
    assert "x/y" in str(exceptions.DXFUnsupportedSchemaType("x/y"))
