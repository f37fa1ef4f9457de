"""What must hold in a root, one law a row: a query for what breaks it, and what cures that.

A query gives `uri` and `detail` of each breach. `vectors` are the rows of `features` of the model that is checked, and
`predictions` are those made from them.
"""

from dataclasses import dataclass

PREPARED: tuple[tuple[frozenset[str], str], ...] = (
    (
        frozenset({"videos"}),
        "CREATE TEMP TABLE live AS SELECT DISTINCT video_id, version, uri FROM videos WHERE status = 'ok'",
    ),
    (
        frozenset({"features"}),
        "CREATE TEMP TABLE done AS SELECT video_id, version, sampling_digest, any_value(uri) AS uri, "
        "count(*) AS num_rows, count(DISTINCT clip_index) AS num_slices, min(clip_index) AS first_index, "
        "max(clip_index) AS last_index, min(model_digest) AS min_digest, max(model_digest) AS max_digest, "
        "max(produced_at) AS produced_at, max(run_key) AS run_key FROM vectors GROUP BY ALL",
    ),
    (
        frozenset({"failures"}),
        "CREATE TEMP TABLE newest_failures AS SELECT video_id, version, uri, error_class, run_key, failed_at "
        "FROM failures WHERE stage = 'decode' QUALIFY row_number() OVER "
        "(PARTITION BY video_id, version ORDER BY attempts DESC, failed_at DESC) = 1",
    ),
)


@dataclass(frozen=True)
class Law:
    """A law; breaking it is damage, or work that is left.

    needs: tables that must be whole for the query to mean anything. query: None where the files themselves are asked.
    """

    name: str
    what: str
    cure: str
    query: str | None = None
    needs: frozenset[str] = frozenset()
    is_damage: bool = True


_AGAIN = "`sora rollback --root {root} --run RUN_KEY` with the run named, then `sora extract --root {root}`"
_WITHOUT = (
    "drop it from the log (`DeltaTable(TABLE).repair()` of the deltalake package) and make its rows again: `sora "
    "catalog` for videos, labels and ignored, `sora extract` for features and failures, `sora classify predict` for "
    "predictions, `sora index` for search_index; rows of runs are history only"
)

FILE_LAWS = (
    Law("file_gone", "Committed files are not there.", f"bring the object back from a backup, or {_WITHOUT}"),
    Law(
        "file_size",
        "Committed files do not have the size that was committed.",
        f"bring the object back from a backup, or delete it, {_WITHOUT}",
    ),
    Law(
        "file_unreadable",
        "Committed files have no readable Parquet footer.",
        f"bring the object back from a backup, or delete it, {_WITHOUT}",
    ),
    Law(
        "file_rows",
        "Committed files do not have as many rows as were committed.",
        f"bring the object back from a backup, or delete it, {_WITHOUT}",
    ),
)

LAWS = (
    Law(
        "version_twice",
        "Versions of videos stand in `videos` more than once.",
        "pipeline.tables.upsert(root, 'videos', ROW) with the row to keep, as an Arrow table, replaces them all",
        "SELECT any_value(uri) AS uri, format('version {}, {} rows', version, count(*)) AS detail "
        "FROM videos GROUP BY video_id, version HAVING count(*) > 1",
        frozenset({"videos"}),
    ),
    Law(
        "failed_without_reason",
        "Videos are marked as failed, and no row of `failures` says why.",
        "`sora catalog CORPUS --root {root} --retry-failed` probes them again",
        "SELECT uri, format('version {}', version) AS detail FROM videos v ANTI JOIN failures f "
        "USING (video_id, version) WHERE v.status = 'failed'",
        frozenset({"videos", "failures"}),
    ),
    Law(
        "never_cataloged",
        "Vectors are of versions of videos that the catalog never knew.",
        "`sora rollback --root {root} --run RUN_KEY` with the run named takes them out",
        "SELECT any_value(uri) AS uri, format('version {}, {} vectors, run {}', version, count(*), max(run_key)) "
        "AS detail FROM features f ANTI JOIN videos v USING (video_id, version) GROUP BY video_id, version",
        frozenset({"videos", "features"}),
    ),
    Law(
        "clip_twice",
        "Time slices stand in `features` more than once.",
        _AGAIN,
        "SELECT any_value(uri) AS uri, format('clip_id {}, {} rows, run {}', clip_id, count(*), max(run_key)) "
        "AS detail FROM vectors GROUP BY clip_id HAVING count(*) > 1",
        frozenset({"features"}),
    ),
    Law(
        "slice_missing",
        "Videos lack slices between their first and their last one.",
        _AGAIN,
        "SELECT uri, format('{} of {} slices, run {}', num_slices, last_index + 1, run_key) AS detail "
        "FROM done WHERE num_slices != last_index + 1 OR first_index != 0",
        frozenset({"features"}),
    ),
    Law(
        "two_samplings",
        "Videos have vectors of more than one sampling under one model.",
        _AGAIN,
        "SELECT any_value(uri) AS uri, format('samplings {}', string_agg(sampling_digest || ' of run ' || run_key, "
        "', ' ORDER BY sampling_digest)) AS detail FROM done GROUP BY video_id, version HAVING count(*) > 1",
        frozenset({"features"}),
    ),
    Law(
        "other_model",
        "Vectors stand under the model's version, and another model made them.",
        _AGAIN,
        "SELECT uri, format('model_digest {}, run {}', CASE WHEN min_digest = getvariable('digest') THEN max_digest "
        "ELSE min_digest END, run_key) AS detail FROM done "
        "WHERE min_digest != getvariable('digest') OR max_digest != getvariable('digest')",
        frozenset({"features"}),
    ),
    Law(
        "done_and_failed",
        "Videos have vectors, and the same run says afterwards that they failed.",
        _AGAIN,
        "SELECT d.uri, format('{}, run {}', n.error_class, n.run_key) AS detail FROM done d "
        "JOIN live USING (video_id, version) JOIN newest_failures n USING (video_id, version) "
        "WHERE n.error_class != 'partial' AND n.run_key = d.run_key AND n.failed_at > d.produced_at",
        frozenset({"videos", "features", "failures"}),
    ),
    Law(
        "prediction_differs",
        "Predictions of a video under one head are not one for each of its vectors and one for the whole.",
        "`sora rollback --root {root} --run RUN_KEY` with the run named, then `sora classify predict --root {root}`",
        "SELECT any_value(p.uri) AS uri, format('head {}/{}, {} vectors, {} predictions of slices and {} of the whole, "
        "run {}', head, head_version, coalesce(any_value(num_rows), 0), count(p.clip_id), "
        "count(*) FILTER (level = 'video'), max(p.run_key)) AS detail FROM predictions p LEFT JOIN (SELECT video_id, "
        "version, sum(num_rows)::BIGINT AS num_rows FROM done GROUP BY ALL) USING (video_id, version) "
        "GROUP BY video_id, version, head, head_version HAVING count(*) FILTER (level = 'video') != 1 "
        "OR count(p.clip_id) != coalesce(any_value(num_rows), 0) OR count(DISTINCT p.clip_id) != count(p.clip_id)",
        frozenset({"features", "predictions"}),
    ),
    Law(
        "missing",
        "Videos are neither in `features` nor in `failures`: work that is left.",
        "`sora extract --root {root}`",
        "SELECT uri, format('version {}', version) AS detail FROM live ANTI JOIN done USING (video_id, version) "
        "ANTI JOIN newest_failures USING (video_id, version)",
        frozenset({"videos", "features", "failures"}),
        is_damage=False,
    ),
    Law(
        "partial_missing",
        "Videos decode in part, and the good slices have no vectors of this model: work that is left.",
        "`sora extract --root {root} --retry-failed`",
        "SELECT l.uri, format('version {}', version) AS detail FROM live l JOIN newest_failures n "
        "USING (video_id, version) ANTI JOIN done USING (video_id, version) WHERE n.error_class = 'partial'",
        frozenset({"videos", "features", "failures"}),
        is_damage=False,
    ),
)
