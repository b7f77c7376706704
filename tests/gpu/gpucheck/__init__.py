"""What `tests/gpu/run` is made of: checks and measurements of the interceptor on a GPU. Standard library only."""
