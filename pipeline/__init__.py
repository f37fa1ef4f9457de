"""The library: video in object storage -> one learned vector per time slice, in tables.

Input: a corpus of videos under any fsspec URI. Does: corpus -> decode -> model -> train -> features -> tasks, the
folders in that order, tables underneath all of it. Output: Delta tables under one root.

Programs start with `pipeline.open_root(uri)`, see `pipeline.api`. It is looked up when it is asked for: every worker
imports this package, and most of them need neither DuckDB nor Delta Lake.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.api import Root as Root, RootTable as RootTable, open_root as open_root

_API = ("Root", "RootTable", "open_root")


def __getattr__(name: str) -> object:
    if name in _API:
        from pipeline import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_API])
