"""python -m benchmarks.train_input"""

import sys

from benchmarks.train_input.proof import main

if __name__ == "__main__":
    sys.exit(main())
