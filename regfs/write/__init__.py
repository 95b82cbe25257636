"""From written bytes to a file of a tag: staging, the journal, open files, the rules of names, blobs and tags.

A written file (:mod:`~regfs.write.staging`) is a content (:mod:`~regfs.write.content`) and knows no registry. Bytes
reach a registry by :class:`~regfs.write.blobs.BlobPusher` alone, names by :class:`~regfs.write.tags.TagEditor` alone.
:class:`~regfs.write.publish.Publisher` has a content pushed and named, for ``close``, ``put`` and ``push-pending``.

Locks, outermost first; the first two are held across the network, the others are innermost and never together:

1. the turn of a tag, between threads (``turns.TagWriters.turn``)
2. the turn of a tag, between processes (a file lock, ``turns.Turns.among_processes``); of two tags in their order
3. ``Turns._lock``, ``KnownBlobs._lock``, ``AheadUploads._lock``, ``BlobPusher._lock``, ``Writings._lock``,
   ``Staged._lock``; the journal's file lock
"""
