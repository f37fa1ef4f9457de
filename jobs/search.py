"""Find the clips or videos most like a clip, a video or a new file, by the vectors of the table.

QUERY is a clip_id, a video_id, a video's uri, or the path of a video that need not be in the catalog: it is embedded on
the fly, as an extraction would. Hits of the query's own video are left out. The answer says how it was searched: every
vector was looked at, or the index of `sora index`, in tables of 200,000 vectors and more.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import rich.box
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional

from jobs.shell import Answer, Job, main as shell_main
from pipeline.tasks.retrieval.contact_sheet import clock, require_kind, write_contact_sheet
from pipeline.tasks.retrieval.search import INDEX_FROM_ROWS, By, Found, Searcher


@dataclass(frozen=True)
class SearchConfig:
    """What to look for, and where."""

    query: Positional[str]
    """A clip_id, a video_id, a video's uri, or the path of a video."""
    root: str
    """Where tables and models live: a path, file:// or s3:// URI."""
    k: int = 10
    """Hits at most."""
    where: str | None = None
    """Only videos like this, in SQL over the columns of `videos`: "codec = 'h264' AND duration_s < 60"."""
    by: By = "clip"
    """clip: a hit is a clip, as similar as the slice of the query that is most like it. video: a hit is a video; the
    means of all slices are compared, and the clip most like the query's mean is named."""
    model: str = "champion"
    """champion, a version number of the root, models:/NAME@ALIAS, or the URI of a checkpoint folder."""
    max_per_video: int | None = None
    """Hits of one video at most; any number when left out."""
    include_self: bool = False
    """Clips of the query's own video may be hits."""
    exact: bool = False
    """Look at every vector, whatever index there is."""
    index_from_rows: int = INDEX_FROM_ROWS
    """Vectors from which on the index is used; below, looking at every one takes a tenth of a second."""
    contact_sheet: str | None = None
    """Write pictures of the hits to FILE.png or FILE.html."""


def run(job: Job[SearchConfig]) -> int:
    """Search, and print the hits; write the contact sheet where one is wanted."""
    config = job.config
    if config.contact_sheet:
        require_kind(config.contact_sheet)
    searcher = Searcher(config.root, config.model, where=config.where, index_from_rows=config.index_from_rows)
    found = searcher.search(
        config.query,
        k=config.k,
        by=config.by,
        include_self=config.include_self,
        max_per_video=config.max_per_video,
        exact=config.exact,
    )
    if config.contact_sheet:
        write_contact_sheet(found, config.contact_sheet)
    return job.give(Answer(_fields(found, config.contact_sheet), _text(found, config.contact_sheet)))


def _fields(found: Found, contact_sheet: str | None) -> dict[str, Any]:
    query = found.query
    return {
        "model_version": found.model.version,
        "query": {name: getattr(query, name) for name in ("kind", "uri", "video_id", "start_s", "end_s", "note")},
        "method": found.method,
        "how": found.how,
        "contact_sheet": contact_sheet,
        "hits": found.hits.to_pylist(),
    }


def _text(found: Found, contact_sheet: str | None) -> str:
    table = Table("rank", "similarity", "clip_id", "start", "end", "uri", box=rich.box.SIMPLE_HEAD)
    for hit in found.hits.to_pylist():
        times = clock(hit["start_s"]), clock(hit["end_s"])
        table.add_row(str(hit["rank"]), f"{hit['similarity']:.4f}", hit["clip_id"], *times, hit["uri"])
    console = Console(width=None if sys.stdout.isatty() else 10_000)
    with console.capture() as captured:
        console.print(table)
    lines = [captured.get().rstrip(), f"model {found.model.version}; {found.method}: {found.how}"]
    if found.query.note:
        lines.append(f"the query is damaged: {found.query.note}")
    if contact_sheet:
        lines.append(f"pictures in {contact_sheet}")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line of this job."""
    return shell_main("search", __doc__, SearchConfig, run, argv)


if __name__ == "__main__":
    sys.exit(main())
