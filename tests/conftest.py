"""What every test can ask for: real registries, a repository of its own; and a log that stays quiet."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator

import hypothesis
import pytest

from tests.registries import Lab, Registry

hypothesis.settings.register_profile("tests", deadline=None)  # a busy machine is no error
hypothesis.settings.load_profile("tests")
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Starts registries; what it started is stopped at the end."""
    made = Lab(tmp_path_factory.mktemp("lab"))
    yield made
    made.stop()


@pytest.fixture(scope="session")
def plain(lab: Lab) -> Registry:
    """A registry over plain HTTP."""
    return lab.start("plain")


@pytest.fixture(scope="session")
def tls(lab: Lab) -> Registry:
    """A registry over TLS."""
    return lab.start("tls")


@pytest.fixture(scope="session")
def htpasswd(lab: Lab) -> Registry:
    """A registry over TLS with HTTP Basic authentication."""
    return lab.start("htpasswd")


@pytest.fixture(scope="session")
def token_registry(lab: Lab) -> Registry:
    """A registry over TLS with token authentication."""
    return lab.start("token")


@pytest.fixture(scope="session")
def schema1(lab: Lab) -> Registry:
    """A registry over plain HTTP that takes schema 1 manifests."""
    return lab.start("schema1")


@pytest.fixture
def repository() -> str:
    """The name of a repository that no other test uses."""
    return f"test/repository{next(_numbers)}"


class _Warnings(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture(autouse=True)
def quiet_log(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test during which ``regfs`` logged a warning, unless it is marked with ``logs``."""
    handler = _Warnings()
    logging.getLogger("regfs").addHandler(handler)
    yield
    logging.getLogger("regfs").removeHandler(handler)
    if handler.records and request.node.get_closest_marker("logs") is None:
        pytest.fail("regfs logged: " + "; ".join(record.getMessage() for record in handler.records))
