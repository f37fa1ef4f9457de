"""python -m benchmarks.extract"""

import sys

from benchmarks.extract.proof import main

if __name__ == "__main__":
    sys.exit(main())
