"""The only code that talks to the Kubernetes API server: raw JSON, synchronous, one thread per watch."""
