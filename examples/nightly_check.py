"""A quality check after every night, with DuckDB: python examples/nightly_check.py ROOT.

Prints what looks wrong and exits with 1, or says that all is well and exits with 0. Set the bounds to what is normal
for your footage.
"""

import sys

import pipeline

MOST_FAILED = 0.05  # share of the videos of a night
MOST_SHIFTED = 0.5  # of the usual reconstruction error: what the model sees differs from what it learned

FAILED = """
    SELECT ds, count(DISTINCT f.video_id) / (count(DISTINCT f.video_id) + any_value(done)) AS share FROM failures f
    JOIN (SELECT ds, count(DISTINCT video_id) AS done FROM features GROUP BY ds) USING (ds) GROUP BY ds
"""
SHIFTED = """
    SELECT ds, avg(recon_error) / (SELECT avg(recon_error) FROM features) - 1 AS shift FROM features GROUP BY ds
"""
BROKEN = """
    SELECT uri, start_s FROM features WHERE list_contains(list_transform(embedding, lambda x: isfinite(x)), false)
"""


def main(root_uri: str) -> int:
    """Look at every night of a root."""
    root = pipeline.open_root(root_uri)
    wrong = [
        f"{row['ds']}: {row['share']:.1%} of the videos failed"
        for row in root.sql(FAILED).to_pylist()
        if row["share"] > MOST_FAILED
    ]
    wrong += [
        f"{row['ds']}: the reconstruction error is off by {row['shift']:+.0%}"
        for row in root.sql(SHIFTED).to_pylist()
        if abs(row["shift"] or 0) > MOST_SHIFTED
    ]
    wrong += [f"{row['uri']} at {row['start_s']} s: a vector is not finite" for row in root.sql(BROKEN).to_pylist()]
    print("\n".join(wrong) or "all is well")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
