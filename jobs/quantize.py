"""Make a model in eight bits out of another one: faster on CPUs, its vectors slightly different.

It is a version of its own, with its own digest: extract and evaluate it before it is used.
sora quantize --root ROOT && sora extract --root ROOT --model N && sora evaluate --root ROOT --model N
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict

from jobs.shell import Answer, Job, main as shell_main
from pipeline import runs, storage
from pipeline.train.quantizing import QuantizeConfig, quantize_model


def run(job: Job[QuantizeConfig]) -> int:
    """Quantize, and say how near the vectors are."""
    config = job.config
    with runs.recorded(
        storage.normalize(config.root), "quantize", config, ds=job.ds, selection={"config": asdict(config)}
    ) as record:
        made = quantize_model(config, on_progress=job.console.on_progress)
        record.counts = {"calibrated": made.num_calibrated, "compared": made.num_compared}
    text = (
        f"model {made.model} is model {made.source} in eight bits, calibrated on {made.num_calibrated} clips\n"
        f"cosine to its vectors, median of {made.num_compared} other clips: {made.cosine:.4f}, "
        f"less the mean vector {made.centred_cosine:.4f}\n"
        f"next: sora extract --root {config.root} --model {made.model}, then sora evaluate and sora compare"
    )
    return job.give(Answer(asdict(made), text))


def main(argv: Sequence[str] | None = None) -> int:
    """The command line of this job."""
    return shell_main("quantize", __doc__, QuantizeConfig, run, argv)


if __name__ == "__main__":
    sys.exit(main())
