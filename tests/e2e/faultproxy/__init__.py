"""A proxy between one client and the API server that misbehaves on purpose, in the same way for the same seed.

The client speaks plain HTTP to it, so that no clock and no certificate of the test matters; upstream it speaks TLS.
"""
