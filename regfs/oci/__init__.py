"""Pure values: references, digests, manifests, indexes, titles, edits. Makes no request and touches no disk."""
