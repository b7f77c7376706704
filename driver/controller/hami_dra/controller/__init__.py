"""Allocates shares of GPUs to ResourceClaims: pure decisions (``plan``) and the loop that carries them out."""
