"""A Docker engine and a node image of our own, so that kind runs where no engine and no registry are in reach.

The engine is Debian's, unpacked and never installed, in namespaces of its own. The node image is made of Go modules,
Debian packages and kind's own files. Errors are those of `cluster`.
"""
