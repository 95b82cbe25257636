"""Directories made of archives: a layer, an archive unpacked, and the merged root of an image.

Between layers, members meet by path and never through symbolic links; inside of one layer, a path goes through the
links that the layer made earlier. Source: image-spec layer.md, "Applying Changesets" and "Whiteouts".
"""
