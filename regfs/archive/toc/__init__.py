"""Tables of contents that a producer put into a layer: names, and where each file's chunks are, without the layer.

A table is taken only when it has the digest that the manifest promises, and a chunk only when it has the digest that
the table promises. Source: stargz-snapshotter docs/estargz.md; containers/storage pkg/chunked.
"""
