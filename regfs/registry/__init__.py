"""Speaking to a registry: names, manifests, authentication, requests. Knows nothing of files or mounts."""
