"""What a layer says of a file stays when the file is written over, moved or touched."""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.scenarios.foreign import CREATED, TITLE, Foreign
from tests.scenarios.views import View

STRANGE: dict[str, Any] = {
    "mediaType": "application/vnd.example.chart.v1",
    "artifactType": "application/vnd.example.kind",
    "platform": {"architecture": "arm64", "os": "linux", "os.version": "1.2"},
    "x-foreign": {"deep": [1, None]},
}
OF_THE_BYTES = {"urls": ["http://localhost/x"], "data": "Ynl0ZXM="}


@pytest.fixture
def layer(foreign: Foreign, repository: str) -> dict[str, Any]:
    """The layer of the file ``chart.tgz`` of the tag v1, beside another file, as another program made it."""
    annotations = {TITLE: "chart.tgz", "org.example.x": "1", CREATED: "2020-01-01T00:00:00Z"}
    made = foreign.layer(repository, b"bytes", annotations=annotations, **STRANGE, **OF_THE_BYTES)
    foreign.publish(repository, "v1", [made, foreign.layer(repository, b"other", "other")])
    return made


def layers_of(foreign: Foreign, repository: str, tag: str = "v1") -> dict[str, dict[str, Any]]:
    """The layers of a tag by their titles, without their times."""
    found = {}
    for layer in foreign.document(repository, tag)["layers"]:
        annotations = {name: value for name, value in layer["annotations"].items() if name != CREATED}
        found[annotations.pop(TITLE)] = {**layer, "annotations": annotations}
    return found


def without_names(layer: dict[str, Any], *fields: str) -> dict[str, Any]:
    """A layer without its title, its time and some fields."""
    annotations = {name: value for name, value in layer["annotations"].items() if name not in (TITLE, CREATED)}
    return {name: value for name, value in {**layer, "annotations": annotations}.items() if name not in fields}


def test_writing_over_a_file_keeps_its_media_type_and_annotations(
    view: View, foreign: Foreign, repository: str, layer: dict[str, Any]
) -> None:
    view.write_bytes(f"{repository}/v1/chart.tgz", b"other bytes")
    new = layers_of(foreign, repository)["chart.tgz"]
    assert without_names(layer, "digest", "size", *OF_THE_BYTES) == {
        name: value for name, value in new.items() if name not in ("digest", "size")
    }
    assert new["size"] == 11
    assert view.read_bytes(f"{repository}/v1/chart.tgz") == b"other bytes"


def test_appending_to_a_file_keeps_its_media_type(
    view: View, foreign: Foreign, repository: str, layer: dict[str, Any]
) -> None:
    with view.open(f"{repository}/v1/chart.tgz", os.O_WRONLY) as handle:
        handle.write(b" more", 5)
    assert layers_of(foreign, repository)["chart.tgz"]["mediaType"] == STRANGE["mediaType"]
    assert foreign.files(repository, "v1")["chart.tgz"] == b"bytes more"


def test_moving_a_file_keeps_everything(view: View, foreign: Foreign, repository: str, layer: dict[str, Any]) -> None:
    view.rename(f"{repository}/v1/chart.tgz", f"{repository}/v1/moved")
    found = foreign.document(repository, "v1")["layers"][-1]
    assert found == {**layer, "annotations": {**layer["annotations"], TITLE: "moved"}}


def test_moving_a_file_over_another_takes_nothing_from_that(
    view: View, foreign: Foreign, repository: str, layer: dict[str, Any]
) -> None:
    view.rename(f"{repository}/v1/other", f"{repository}/v1/chart.tgz")
    (found,) = foreign.document(repository, "v1")["layers"]
    assert (found["mediaType"], found["annotations"]) == ("application/octet-stream", {TITLE: "chart.tgz"})
    assert {"artifactType", "platform", "x-foreign", *OF_THE_BYTES} & set(found) == set()


def test_moving_a_file_to_another_tag_keeps_everything(
    view: View, foreign: Foreign, repository: str, layer: dict[str, Any]
) -> None:
    foreign.publish(repository, "v2", [])
    view.rename(f"{repository}/v1/chart.tgz", f"{repository}/v2/chart.tgz")
    assert foreign.document(repository, "v2")["layers"] == [layer]
    assert list(layers_of(foreign, repository)) == ["other"]


def test_setting_a_time_keeps_everything(view: View, foreign: Foreign, repository: str, layer: dict[str, Any]) -> None:
    view.utime(f"{repository}/v1/chart.tgz", 1_000_000_000 * 10**9)
    found = foreign.document(repository, "v1")["layers"][0]
    assert found == {**layer, "annotations": {**layer["annotations"], CREATED: "2001-09-09T01:46:40Z"}}
