"""The node's half of the driver: publishes its GPUs and turns allocated claims into shares."""
