"""A registry and the ways to it. Knows no paths of a mount and no cache."""
