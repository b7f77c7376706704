"""Fixtures of the controller's tests."""

from __future__ import annotations

import sys
from pathlib import Path

# The tests import their builders by name; importmode=importlib adds no directory by itself.
sys.path.insert(0, str(Path(__file__).parent))
