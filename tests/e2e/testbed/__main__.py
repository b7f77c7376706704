"""The commands behind `make demo`, `make demo-down`, `make programs` and `make images`."""

import sys

from testbed.demo import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
