"""Amazon ECR, private."""

from __future__ import annotations

from tests.servers import Answer
from tests.zoo.calls import Call, error
from tests.zoo.profile import Access, Blobs, Deletes, Profile, Uploads, inclusive
from tests.zoo.registry import Zoo

_PAGE_NOT_FOUND = Answer(404, (("Content-Type", "text/plain; charset=utf-8"),), b"404 page not found\n")


def _challenge(zoo: Zoo, call: Call) -> str:
    # github.com/mayflower/docker-ls/issues/28
    return f'Basic realm="{zoo.origin}/",service="ecr.amazonaws.com"'


def _stuck(size: int) -> str:
    # github.com/aws/containers-roadmap/issues/2831: the Range of every PATCH is that of the first
    return inclusive(min(size, 10 << 20))


def _end(size: int, before: int) -> Answer | None:
    # github.com/openai/tart/pull/159: a last PUT without bytes, after pieces, is a 500 without a message
    return Answer(500) if before and not size else None


def immutable(zoo: Zoo, call: Call) -> Answer:
    """The refusal of a repository whose tags are immutable, also for the same manifest."""
    # github.com/moby/buildkit/issues/3776: "tag invalid: ..."; its status is not in there
    message = (
        f"The image tag '{call.reference}' already exists in the '{call.repository}' repository and cannot be "
        "overwritten because the repository is immutable."
    )
    return error(400, "TAG_INVALID", message)


PROFILE = Profile(
    name="ecr",
    title="Amazon ECR",
    # docs.aws.amazon.com/AmazonECR/latest/userguide/registry_auth.html: a token of 12 hours, as the password of AWS
    access=Access(scheme="basic", challenge=_challenge, public=False),
    # github.com/open-policy-agent/opa/issues/6580: 307 to S3, which refuses a second login
    blobs=Blobs(redirect=307),
    uploads=Uploads(sent_range=_stuck, status_range=_stuck, refuse_whole=_end),
    # github.com/aws/containers-roadmap/issues/1229: 404 "page not found", without a word of JSON (later shipped;
    # github.com/tsuru/tsuru/pull/2914 of 2026 has it still)
    deletes=Deletes(by_tag=lambda zoo, call: _PAGE_NOT_FOUND, by_digest=lambda zoo, call: _PAGE_NOT_FOUND, works=False),
)
