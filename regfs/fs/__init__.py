"""The verbs of a file system on the tree, and the table of handles. Raises OSError, knows no FUSE."""
