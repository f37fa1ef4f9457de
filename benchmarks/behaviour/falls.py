"""The CSVs of GMDCSA24 (falls and daily activities) as labels that `sora catalog --labels` reads.

"Walking[0 to 3.6]; Falling (BW)[6.9 to 12]"  -->  path,label,start_s,end_s,source_group: two lines
"""

import csv
import re
import sys
from collections.abc import Iterator
from pathlib import Path

_BEHAVIOUR = re.compile(r"([A-Za-z][^\[\];]*)\[([^\]]*)\]")
_INTERVAL = re.compile(r"(\d+(?:\.\d+)?)\s*(?:to\s*)?(\d+(?:\.\d+)?)")
COLUMNS = ("path", "label", "start_s", "end_s", "source_group")
Row = tuple[str, str, float, float, str]


def timed_rows(text: str) -> Iterator[tuple[str, float, float]]:
    """The behaviours of one line, in lower case, the ways to fall as one; intervals that end before they start go."""
    for name, places in _BEHAVIOUR.findall(text):
        label = re.sub(r"\s*\(.*", "", name).strip().lower()
        for start, end in _INTERVAL.findall(places):
            if float(start) < float(end):
                yield label, float(start), float(end)


def rows(folder: Path) -> list[Row]:
    """The labels of the videos that are in the folder; each video is a source of its own."""
    found: list[Row] = []
    for table in sorted(folder.rglob("*.csv")):
        with table.open(newline="") as source:
            for line in list(csv.reader(source))[1:]:
                video = table.with_suffix("") / line[0]
                if video.is_file():
                    path = str(video.relative_to(folder))
                    found += [(path, *timed, path) for timed in timed_rows(line[-1])]
    return found


def main() -> None:
    """Print the labels of the folder that is named."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerows([COLUMNS, *rows(Path(sys.argv[1]))])


if __name__ == "__main__":
    main()
