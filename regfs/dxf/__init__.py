"""The API of python-dxf, a facade over :mod:`regfs.registry.http`. Nothing inside regfs uses it."""
