"""Hollow clusters: a real control plane and a real controller of ours, over nodes that are only objects.

Thousands of nodes with GPUs fit on one machine this way. What is not real: kubelets (one process plays them all) and
the kubelet plugins (their slices are planned by the plugin's own code). `python -m hollow --help` is the command line,
`hollow.bed.HollowCluster` the same for Python.
"""
