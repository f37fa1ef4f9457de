"""python -m benchmarks.search"""

import sys

from benchmarks.search.proof import main

if __name__ == "__main__":
    sys.exit(main())
