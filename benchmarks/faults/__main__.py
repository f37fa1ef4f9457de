"""python -m benchmarks.faults"""

import sys

from benchmarks.faults.proof import main

if __name__ == "__main__":
    sys.exit(main())
