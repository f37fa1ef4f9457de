"""Write the three rings of a Swift with one device each. Runs inside Swift's own environment.

Usage: python build_rings.py FOLDER account=PORT container=PORT object=PORT

One process for all three: `swift-ring-builder` takes nine, and three seconds.
"""

import sys
from pathlib import Path

from swift.common.ring import RingBuilder

PART_POWER = 4  # 16 partitions
NUM_REPLICAS = 1
MIN_PART_HOURS = 1


def build_ring(file: Path, port: int) -> None:
    """Write one ring whose every partition is on the device `one` at 127.0.0.1:port."""
    builder = RingBuilder(PART_POWER, NUM_REPLICAS, MIN_PART_HOURS)
    builder.add_dev(
        {"id": 0, "region": 1, "zone": 1, "ip": "127.0.0.1", "port": port, "device": "one", "weight": 1.0, "meta": ""}
        | {"replication_ip": "127.0.0.1", "replication_port": port}
    )
    builder.rebalance()
    builder.get_ring().save(str(file))


if __name__ == "__main__":
    for server, port in (argument.split("=") for argument in sys.argv[2:]):
        build_ring(Path(sys.argv[1]) / f"{server}.ring.gz", int(port))
