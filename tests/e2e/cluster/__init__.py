"""Local Kubernetes clusters of real components, without Docker: for tests, demos and benchmarks.

Every cluster has network namespaces of its own; a node is a set of namespaces over the host's root file system,
under a layer in memory. Programs are built from Go modules, images by buildah; both are cached outside the checkout.
`python -m cluster --help` is the command line, `cluster.api.Cluster` the same for Python.
"""
