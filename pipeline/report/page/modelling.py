"""What is shown of a model: how its training went, what it rebuilds, how good its vectors are."""

from collections.abc import Mapping, Sequence

import pyarrow.compute as pc

from pipeline import registry, tables
from pipeline.errors import CheckpointError
from pipeline.report.page.album import data_uri, name_of
from pipeline.report.page.charts import Chart, lines
from pipeline.report.page.content import ModelPart, Pair
from pipeline.report.page.evaluated import Evaluated, evaluated
from pipeline.report.page.rebuilt import Rebuilt, rebuilt
from pipeline.tasks.slices import Slices
from pipeline.tracking_curves import curves

_MOST_CURVES = 6
_FIRST = ("loss", "accuracy", "recon_error")  # then by name
_TITLES = {"recon_error": "Reconstruction error", "data_wait_s": "Waiting for data, s", "epoch_s": "Epoch, s"}
_NOT_CURVES = ("epoch", "train_clips", "validation_clips")
NO_MODEL = "There is no model yet. `sora train` makes one."


def model_part(root: str, model: registry.ModelReference | None, slices: Slices | None) -> ModelPart:
    """Everything the page says of a model.

    Args:
        root: The root's URI, normalized.
        model: None: there is none yet.
        slices: Its vectors; None: there are none.
    """
    if model is None:
        return ModelPart(None, (), NO_MODEL, (), "there is no model yet", Evaluated(reason=NO_MODEL))
    pairs, pairs_reason = _pairs(slices, model)
    found = curves(root, _training_run(root, model.version))
    charts = curve_charts(found.values)
    source = found.source if charts or not found.values else f"{found.source} has no metric of two epochs"
    return ModelPart(model.version, pairs, pairs_reason, charts, source, evaluated(root, model.version))


def curve_charts(values: Mapping[str, Sequence[tuple[int, float]]]) -> list[Chart]:
    """A chart for each metric that changes over steps; what training and validation both measure shares one."""
    grouped: dict[str, dict[str, Sequence[tuple[int, float]]]] = {}
    for name in sorted(values):  # train before validation
        side, _, base = name.partition("_")
        if name not in _NOT_CURVES and len(values[name]) > 1:
            is_side = side in ("train", "validation") and bool(base)
            grouped.setdefault(base if is_side else name, {})[side if is_side else name] = values[name]
    order = sorted(grouped, key=_rank)[:_MOST_CURVES]
    return [
        lines(_TITLES.get(name, name.replace("_", " ").capitalize()), grouped[name], step="epoch") for name in order
    ]


def _rank(name: str) -> tuple[int, bool, str]:
    """What was learned before how long it took."""
    return _FIRST.index(name) if name in _FIRST else len(_FIRST), name.endswith("_s"), name


def _pairs(slices: Slices | None, model: registry.ModelReference) -> tuple[list[Pair], str]:
    if slices is None:
        return [], "There are no clips of this model to rebuild."
    try:
        pairs = [_pair(one) for one in rebuilt(slices, model)]
    except CheckpointError as e:
        return [], f"The model cannot be run: {e.what}"
    return pairs, "No clip says how far its reconstruction is off."


def _pair(one: Rebuilt) -> Pair:
    original, reconstruction = (data_uri(strip) if strip else "" for strip in (one.original, one.reconstruction))
    head = name_of(one.uri), one.uri, one.start_s, one.recon_error, one.psnr_db
    return Pair(*head, original, reconstruction, one.reason)


def _training_run(root: str, version: str) -> str | None:
    """MLflow's id of the run that made this version, where `runs` says so."""
    columns = ["counts", "mlflow_run_id", "started_at"]
    trained = tables.read(root, "runs", columns, pc.field("job") == "train").sort_by("started_at").to_pylist()
    of_version = [row for row in trained if str(dict(row["counts"] or []).get("model_version")) == version]
    return of_version[-1]["mlflow_run_id"] if of_version else None
