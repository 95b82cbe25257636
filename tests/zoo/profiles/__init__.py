"""One file for each family of registries; :data:`PROFILES` has all of them by name."""

from __future__ import annotations

from tests.zoo.profile import Profile
from tests.zoo.profiles import (
    acr,
    artifactory,
    cloudflare,
    crane,
    docker_hub,
    ecr,
    gar,
    ghcr,
    gitlab,
    harbor,
    nexus,
    pulp,
    quay,
    zot,
    zuul,
)

PROFILES: dict[str, Profile] = {
    module.PROFILE.name: module.PROFILE
    for module in (
        ghcr, gar, ecr, acr, quay, gitlab, harbor, artifactory, nexus, docker_hub, zot, cloudflare, pulp, crane, zuul,
    )
}  # fmt: skip
