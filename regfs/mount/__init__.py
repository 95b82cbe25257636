"""The kernel's side: adapters, the life of a mount, the table of mounts, /proc, systemd. Owns ``fuse``."""
