"""From written bytes to a published file: staging, the journal, open files, the rules of names, blobs and tags."""
