"""Write one HTML file that shows a root: corpus, failures, runs, training, reconstructions, neighbours, a map.

The file needs nothing else: no network, no other file. It changes nothing in the root but the file itself.
"""

import sys
from collections.abc import Sequence

from jobs.shell import Answer, Job, main as shell_main
from pipeline import storage
from pipeline.report.page.config import ReportConfig


def run(job: Job[ReportConfig]) -> int:
    """Build the page, write it, and say where it is."""
    from pipeline.report.page.build import build
    from pipeline.report.page.render import render

    page = build(job.config, watcher=job.console)
    html = render(page).encode()
    output = storage.normalize(job.config.output or storage.join(job.config.root, "report.html"))
    storage.put(output, html)
    fields = {
        "output": output,
        "bytes": len(html),
        "build_s": page.build_s,
        "videos": page.corpus.num_videos,
        "pictures": page.num_pictures,
    }
    text = f"{output}: {len(html) / 1e6:.1f} MB, {page.num_pictures} pictures, made in {page.build_s:.1f} s"
    return job.give(Answer(fields, text))


def main(argv: Sequence[str] | None = None) -> int:
    """The command line of this job."""
    return shell_main("report", __doc__, ReportConfig, run, argv)


if __name__ == "__main__":
    sys.exit(main())
