"""What the tests of the safety suite share is imported by name."""

import sys
from pathlib import Path

# importmode=importlib adds no directory by itself.
sys.path.insert(0, str(Path(__file__).parent))
