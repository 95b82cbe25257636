"""What a registry holds, remembered: repositories, tags, manifests. Owns ``cachetools``. Knows no paths."""
