"""Any thing that a mount shows, as a node. Reads no blob before it is opened, and writes nothing.

:mod:`regfs.tree.node` is the port: what any node can do. Each kind of node is one class in one file. Outside of this
package nobody asks what kind a node is. :mod:`regfs.tree.tree` goes from a path to its node, :mod:`regfs.tree.walk`
through all that is below one.
"""
