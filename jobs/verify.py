"""Prove that nothing is lost and nothing doubled: every live video once, by key set, and every committed file whole.

Exit code 0: all is well. 10: work is left, `sora extract` does it. 30: damage, named with its cure. It changes nothing.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from jobs.shell import DONE, DONE_WITH_FAILURES, Answer, Job, main as shell_main
from pipeline.errors import SoraError
from pipeline.report.verify import Finding, Verdict, verify


@dataclass(frozen=True)
class VerifyConfig:
    """What to check, and how closely."""

    root: str
    """Where tables and models live: a path, file:// or s3:// URI."""
    model: str = "champion"
    """champion, a version number of the root, models:/NAME@ALIAS, or the URI of a checkpoint folder."""
    fast: bool = False
    """Compare the sizes of committed files only, and do not open each of them."""


def run(job: Job[VerifyConfig]) -> int:
    """Verify, and name what is wrong."""
    config = job.config
    verdict = verify(config.root, model=config.model, fast=config.fast, on_progress=job.console.on_progress)
    code = SoraError.exit_code if verdict.is_damaged else DONE_WITH_FAILURES if verdict.findings else DONE
    return job.give(Answer({**asdict(verdict), "is_damaged": verdict.is_damaged}, _text(verdict), code))


def _text(verdict: Verdict) -> str:
    parts = [_finding_text(finding) for finding in verdict.findings]
    if verdict.not_checked:
        parts.append(f"not checked, because files are damaged: {', '.join(verdict.not_checked)}")
    state = "damaged" if verdict.is_damaged else "whole, work is left" if verdict.findings else "whole"
    summary = f"{verdict.root}: {state}; {verdict.files} files"
    if not verdict.not_checked:
        summary += (
            f"; model {verdict.model_version or '(none yet: run `sora train`)'}: {verdict.live_videos} live videos, "
            f"{verdict.done} done, {verdict.failed} failed, {verdict.clips} vectors"
        )
    return "\n".join([*parts, summary])


def _finding_text(finding: Finding) -> str:
    lines = [f"{'DAMAGE' if finding.is_damage else 'LEFT'} {finding.law}: {finding.what} {finding.count} in all."]
    lines += [f"  {example['uri']}  {example['detail']}" for example in finding.examples]
    if finding.count > len(finding.examples):
        lines.append(f"  ... and {finding.count - len(finding.examples)} more")
    return "\n".join([*lines, f"  cure: {finding.cure}"])


def main(argv: Sequence[str] | None = None) -> int:
    """The command line of this job."""
    return shell_main("verify", __doc__, VerifyConfig, run, argv)


if __name__ == "__main__":
    sys.exit(main())
