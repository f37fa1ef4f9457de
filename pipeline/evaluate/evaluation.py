"""The driver of an evaluation: tables and videos -> judgements -> files and an MLflow run.

labels, features --gather--> rows --measure--> what controls see --judge--> figures --record--> evaluations/<version>
"""

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import registry, runs, storage, tables, tracking
from pipeline.decode.sampling import SamplingConfig
from pipeline.errors import CheckpointError, CorpusError
from pipeline.evaluate.config import TABLE_CONTROLS, EvaluateConfig
from pipeline.evaluate.gather import common, read_rows, require_sides, stacked, video_vectors
from pipeline.evaluate.judge import Judgement, Rows, VectorsOf, judge
from pipeline.evaluate.measures import measure
from pipeline.evaluate.pca import projected
from pipeline.evaluate.pictures import confusion_counts, confusion_figure, map_figure
from pipeline.evaluate.record import CONFUSION, FIDELITY, FILE, PAGE, figures, folder_of, markdown, numbers
from pipeline.model.checkpoint import LoadedModel, load_checkpoint
from pipeline.progress import Watcher
from pipeline.train.report import per_class_report

HEAD_REPORT = "classification_report.txt"


@dataclass(frozen=True)
class EvaluatePlan:
    """A resolved model, and the labelled videos that it has vectors of."""

    root: str
    config: EvaluateConfig
    model: registry.ModelReference
    loaded: LoadedModel
    rows: Rows
    videos: pa.Table  # video_id, uri, version; as many as rows, in their order
    vectors: dict[str, dict[str, Any]]  # of `model` and of each further model: float64 (D,) by video_id
    num_left_out: int  # labelled videos that one of the models has no vectors of

    @property
    def selection(self) -> dict[str, object]:
        """What makes its run another one than the same job's of the same date."""
        options = {**asdict(self.config), "root": None, "output": None}
        return {"model": self.model.digest, "options": options, "videos": list(self.rows.video_ids)}


@dataclass(frozen=True)
class Evaluation:
    """The answer, and where its files are."""

    found: dict[str, Any]
    page: str
    folder: str
    mlflow_run_id: str | None
    num_videos: int
    num_undecoded: int


def plan_evaluation(config: EvaluateConfig) -> EvaluatePlan:
    """Resolve the model and read the tables; decodes nothing.

    Raises:
        CheckpointError: the model reference leads nowhere, or its sampling is not readable.
        ConfigError: no labels, no split column, or a split with an empty side.
        TableError: the root has no tables, or no vectors of one of the models.
    """
    root = storage.normalize(config.root)
    tables.open_table(root, "videos")
    model = registry.resolve(root, config.model)
    loaded = load_checkpoint(registry.fetch(model))
    try:
        SamplingConfig(**loaded.sampling)
    except TypeError as e:
        cure = "use a checkpoint that `sora train` wrote"
        raise CheckpointError("The checkpoint's sampling is unknown.", where=model.uri, got=e, cure=cure) from e
    rows, videos = read_rows(root, group_column=config.group_column, splits_of=config.splits)
    versions = {"model": model.version, **config.controls()}
    vectors = {name: video_vectors(root, version, videos) for name, version in versions.items()}
    kept = common(rows, vectors.values())
    require_sides(kept)
    videos = videos.filter(pc.is_in(videos["video_id"], pa.array(kept.video_ids, pa.string())))
    return EvaluatePlan(root, config, model, loaded, kept, videos, vectors, len(rows.video_ids) - len(kept.video_ids))


def evaluate(plan: EvaluatePlan, *, connect: Callable[[], None], watcher: Watcher) -> Evaluation:
    """Judge the vectors and the controls on the same videos, and keep what came of it.

    Args:
        plan: From plan_evaluation.
        connect: Starts or joins Ray.
        watcher: Told what happens now, and how far the decoding is.
    Raises:
        ConfigError: a split leaves too little to learn from.
        CorpusError: not one of the videos can be decoded any more.
    """
    storage.require_store(plan.root)
    connect()
    config = plan.config
    seen = measure(_to_measure(plan), plan.model, num_seeds=config.seeds, on_progress=watcher.on_progress)
    if not seen:
        cure = "run `sora catalog` again; the videos may have moved"
        raise CorpusError("Not one video of the evaluation can be decoded.", where=plan.root, cure=cure)
    rows = common(plan.rows, [seen])
    num_undecoded = len(plan.rows.video_ids) - len(rows.video_ids)
    if num_undecoded:
        watcher.note(f"{num_undecoded} videos cannot be decoded any more; nobody is judged on them")
    require_sides(rows)
    judged: dict[str, Judgement] = {}
    for name, vectors_of in _kinds(plan, rows, seen).items():
        watcher.note(f"judging {name}")
        judged[name] = judge(vectors_of, rows, num_seeds=config.seeds)
    main = judged.pop("model")
    found = {
        "model": plan.model.version,
        "split": list(rows.splits),
        "seeds": config.seeds,
        **figures(main, _fidelity(rows, seen)),
        "controls": {
            name: figures(judged[name]) if name in judged else None
            for name in dict.fromkeys([*judged, *TABLE_CONTROLS])
        },
    }
    head = _head_report(plan, rows, seen)
    page = "\n\n".join(part for part in (markdown(found), *_remarks(plan, num_undecoded), head[1]) if part)
    folder, run_id = _keep(plan, rows, found, page, main, head)
    return Evaluation(found, page, folder, run_id, len(rows.video_ids), num_undecoded)


def _kinds(plan: EvaluatePlan, rows: Rows, seen: dict[str, dict[str, Any]]) -> dict[str, VectorsOf]:
    """Every kind of vector that is judged, the model's first."""

    def of_table(name: str) -> VectorsOf:
        vectors = stacked(rows, plan.vectors[name])
        return lambda is_train, seed: vectors

    def of_components(name: str) -> VectorsOf:
        values = stacked(rows, {video_id: one[name] for video_id, one in seen.items()})
        return lambda is_train, seed: projected(values, is_train)

    drawn = stacked(rows, {video_id: one["random_init"] for video_id, one in seen.items()})
    drawn = drawn.reshape(len(drawn), plan.config.seeds, -1)  # (N, seeds, D)
    return {
        "model": of_table("model"),
        "random_init": lambda is_train, seed: drawn[:, seed],
        "pca64": of_components("pixels"),
        "pca64_diff": of_components("differences"),
        "pca64_descriptor": of_components("descriptors"),
        **{name: of_table(name) for name in plan.vectors if name != "model"},
    }


def _to_measure(plan: EvaluatePlan) -> pa.Table:
    """The videos, with how many clips of each are rebuilt: of test videos only, spread as evenly as can be."""
    is_test = np.any([sides == "test" for sides in plan.rows.splits.values()], axis=0)
    each = -(-plan.config.max_clips // int(is_test.sum()))
    wanted = np.minimum(np.cumsum(is_test * each), plan.config.max_clips)
    return plan.videos.append_column("num_measured", pa.array(np.diff(wanted, prepend=0), pa.int32()))


def _fidelity(rows: Rows, seen: dict[str, dict[str, Any]]) -> dict[str, float | None]:
    """Means over the measured clips; None where there are none."""
    clips = {name: np.concatenate([seen[video_id][name] for video_id in rows.video_ids]) for name in FIDELITY}
    return {name: float(values.mean()) if values.size else None for name, values in clips.items()}


def _learned_split(plan: EvaluatePlan) -> str | None:
    """The split column that kept videos from the model's training, where `runs` says so."""
    trained = tables.read(plan.root, "runs", ["config", "counts"], pc.field("job") == "train").to_pylist()
    for row in trained:
        if str(dict(row["counts"] or []).get("model_version")) == plan.model.version:
            column = json.loads(row["config"]).get("split_column")
            return str(column) if column else None
    return None


def _head_report(plan: EvaluatePlan, rows: Rows, seen: dict[str, dict[str, Any]]) -> tuple[float | None, str]:
    """Accuracy and per-class report of the model's own head, on test videos that its training was kept from."""
    split = _learned_split(plan)
    if split is None or split not in rows.splits or not plan.loaded.labels:
        return None, ""
    index_of = {name: index for index, name in enumerate(plan.loaded.labels)}
    names = [rows.classes[label] for label in rows.labels]
    tested = [i for i, side in enumerate(rows.splits[split]) if side == "test" and names[i] in index_of]
    if not tested:
        return None, ""
    targets = [index_of[names[i]] for i in tested]
    predictions = [int(seen[rows.video_ids[i]]["logits"].argmax()) for i in tested]
    text, fields = per_class_report(targets, predictions, plan.loaded.labels)
    head = f"The model's own classifier on the {len(tested)} test videos of {split}: {100 * fields['accuracy']:.1f} %."
    return float(fields["accuracy"]), f"{head}\n\n```\n{text.rstrip()}\n```"


def _remarks(plan: EvaluatePlan, num_undecoded: int) -> Sequence[str]:
    split = _learned_split(plan)
    contaminated = [name for name in plan.rows.splits if name != split]
    remarks = []
    if contaminated:
        kept = f"only the test videos of {split}" if split else "no test video that this root knows of"
        remarks.append(f"Training was kept from {kept}: figures on {', '.join(contaminated)} may be of videos it saw.")
    if plan.num_left_out:
        remarks.append(f"{plan.num_left_out} labelled videos are left out: one of the models has no vectors of them.")
    if num_undecoded:
        remarks.append(f"{num_undecoded} videos are left out: they cannot be decoded any more.")
    return remarks


def _keep(
    plan: EvaluatePlan,
    rows: Rows,
    found: dict[str, Any],
    page: str,
    main: Judgement,
    head: tuple[float | None, str],
) -> tuple[str, str | None]:
    """Write the files, the JSON last, and tell MLflow; returns the folder and MLflow's id of the run."""
    folder = folder_of(plan.root, plan.model.version)
    if plan.config.output is not None:
        folder = storage.normalize(plan.config.output)
    is_test = np.any([sides == "test" for sides in rows.splits.values()], axis=0)
    vectors = stacked(rows, plan.vectors["model"])[is_test]
    pictures = {
        "confusion.png": confusion_figure(main.targets, main.predicted, rows.classes),
        "map.png": map_figure(vectors, rows.labels[is_test], rows.classes),
    }
    text = json.dumps(found, indent=2)
    for name, figure in pictures.items():
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
        storage.put(storage.join(folder, name), buffer.getvalue())
    counts = confusion_counts(main.targets, main.predicted, rows.classes)
    confusion = {"classes": list(rows.classes), "counts": counts.tolist()}
    storage.put(storage.join(folder, CONFUSION), json.dumps(confusion).encode())
    storage.put(storage.join(folder, PAGE), page.encode())
    storage.put(storage.join(folder, FILE), text.encode())
    tags = {"sora_job": "evaluate", "sora_root": plan.root, "sora_version": plan.model.version}
    tracker = tracking.Tracker(plan.root, run_name=f"evaluate-{plan.model.version}", tags=tags)
    tracker.log_params(json.loads(runs.as_json(plan.config)))
    accuracy = {} if head[0] is None else {"head_accuracy": head[0]}
    tracker.log_metrics(
        {**numbers({name: found[name] for name in found if name not in ("model", "seeds")}), **accuracy}
    )
    for name, content in ((FILE, text), (PAGE, page)):
        tracker.log_text(content, name)
    for name, figure in pictures.items():
        tracker.log_figure(figure, name)
    if head[1]:
        tracker.log_text(head[1], HEAD_REPORT)
    tracker.finish()
    return folder, tracker.run_id
