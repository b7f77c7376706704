"""What the parts of the driver agree on: names, quantities, Kubernetes objects, ShareConfig, protocols."""
