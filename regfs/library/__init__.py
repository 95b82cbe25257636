"""What programs and commands call: list, get, put, prefetch, without a mount."""
