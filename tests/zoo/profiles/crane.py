"""The registry of crane (go-containerregistry, ``crane registry serve``)."""

from __future__ import annotations

from tests.zoo.profile import Blobs, Deletes, Listing, Profile, Uploads, untagging

PROFILE = Profile(
    name="crane",
    title="crane registry serve",
    # github.com/google/go-containerregistry: pkg/registry/manifest.go, handleTags: n and last, and no Link
    listing=Listing(link=lambda zoo, call, n, last: None),
    # pkg/registry/blobs.go, GET: no Range (in 2021; later ones have it)
    blobs=Blobs(ranges=False),
    # pkg/registry/blobs.go, PATCH: 204 (github.com/google/go-containerregistry/issues/2198)
    uploads=Uploads(piece_status=204),
    # pkg/registry/manifest.go, DELETE: what has that name, and nothing else
    deletes=Deletes(by_tag=untagging),
)
