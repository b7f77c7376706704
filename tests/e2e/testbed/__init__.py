"""A cluster with fake GPUs and the driver on it, for the demo and for the e2e tests."""
