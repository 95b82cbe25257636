"""Options that cannot be, and references to nothing: one line that says what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.registries import Registry
from tests.scenarios.foreign import Foreign
from tests.scenarios.views import environment, run


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--cache-size", "lots", "localhost:1"], "'lots' is not a size; write it as 500M or 20G"),
        (["--metrics", "65536", "localhost:1"], "'65536' is not a port; write it as 9090 or 0.0.0.0:9090"),
        (["--client-cert", "file", "localhost:1"], "--client-cert and --client-key belong together; give both"),
        (["--insecure", "https://localhost:1"], "--insecure contradicts https:// in the reference; leave one out"),
        pytest.param(
            ["--ca-file", "file", "localhost:1"],
            "file: no CA certificates are in it",
            marks=pytest.mark.logs("no CA certificates"),
        ),
        pytest.param(
            ["--client-cert", "file", "--client-key", "file", "localhost:1"],
            "file and file do not work together",
            marks=pytest.mark.logs("do not work together"),
        ),
    ],
)
def test_an_option_that_cannot_be_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("not a certificate")
    (tmp_path / "mnt").mkdir()
    done = run("mount", *words, "mnt", environment=environment(tmp_path))
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_nothing_to_prefetch_is_one_line(tmp_path: Path, plain: Registry, repository: str) -> None:
    client = Foreign(plain)
    client.artifact(repository, "v1", {"a.txt": b"a"})
    client.close()
    for words, said in [
        ("", "name a repository or an alias of it"),
        ("/test/nothing", "there is no such repository"),
        (f"/{repository}:v2", "there is no such tag"),
    ]:
        done = run("prefetch", plain.url + words, environment=environment(tmp_path))
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
        assert said in done.stderr
