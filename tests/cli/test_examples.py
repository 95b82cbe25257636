"""The examples for compose and Kubernetes are what their schemas ask for, and start regfs as it can be started."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from regfs.cli import commands

EXAMPLES = Path(__file__).parents[2] / "docs/examples"
yaml = pytest.importorskip("yaml", reason="pip install '.[examples]'")


def _documents() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((EXAMPLES / "kubernetes.yaml").read_text()))


def _commands() -> Iterator[list[str]]:
    """The command lines of regfs in the examples."""
    compose = yaml.safe_load((EXAMPLES / "compose.yaml").read_text())["services"]["regfs"]
    yield compose["command"].split()
    yield compose["healthcheck"]["test"][2:]
    daemon = next(document for document in _documents() if document["kind"] == "DaemonSet")
    (container,) = daemon["spec"]["template"]["spec"]["containers"]
    yield container["args"]
    yield container["startupProbe"]["exec"]["command"][1:]


def test_what_kubernetes_is_given_is_what_its_schema_asks_for() -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="pip install '.[examples]'")
    documents = _documents()
    assert [document["kind"] for document in documents] == ["Secret", "DaemonSet", "Pod"]
    for document in documents:
        validate.validate(document, validate.latest_version(), strict=True)


def test_what_compose_is_given_is_what_its_schema_asks_for() -> None:
    compose = pytest.importorskip("compose_spec", reason="pip install '.[examples]'")
    compose.PyCompose.from_yaml((EXAMPLES / "compose.yaml").read_text()).validate()


@pytest.mark.parametrize("arguments", list(_commands()), ids=" ".join)
def test_the_command_lines_in_the_examples_are_understood(arguments: list[str]) -> None:
    command = commands.get_command(click.Context(commands), arguments[0])
    assert command is not None
    with command.make_context(arguments[0], arguments[1:]) as context:
        assert isinstance(context, click.Context)
