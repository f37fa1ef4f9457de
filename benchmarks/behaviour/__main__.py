"""python -m benchmarks.behaviour"""

import sys

from benchmarks.behaviour.proof import main

if __name__ == "__main__":
    sys.exit(main())
