"""Protocols between kubelet and its plugins; the stubs are generated from the .proto files beside them."""
