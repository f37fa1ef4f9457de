"""The pages: what they name exists, what they show parses, what they query answers, and what there is they name."""

import builtins
import importlib
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from jobs import cli, shell
from pipeline import errors, schema, storage, tables
from pipeline.tasks import query
from tests.support.shared import PROJECT_ROOT

PAGES = [
    *(PROJECT_ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "cluster/README.md")),
    *sorted((PROJECT_ROOT / "docs").glob("*.md")),
]
README, OPERATIONS = PROJECT_ROOT / "README.md", PROJECT_ROOT / "docs" / "operations.md"
GLOSSARY = PROJECT_ROOT / "docs" / "glossary.md"
EMBEDDING_DIM = 64


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page."""
    opened: tuple[int, str] | None = None
    lines: list[str] = []
    for number, line in enumerate(page.read_text().splitlines(), start=1):
        if not line.startswith("```"):
            lines.append(line)
        elif opened is None:
            opened, lines = (number, line[3:].strip()), []
        else:
            yield Block(str(page.relative_to(PROJECT_ROOT)), opened[0], opened[1], "\n".join(lines))
            opened = None
    assert opened is None, f"{page} ends inside a block"


BLOCKS = [block for page in PAGES for block in blocks(page)]


def shell_lines() -> list[tuple[str, list[str]]]:
    """Where, and the words of every line of shell."""
    lines = []
    for block in BLOCKS:
        if block.language == "":
            for line in block.text.replace("\\\n", " ").splitlines():
                if "sora " in line or "jobs." in line or line.startswith("make "):
                    lines.append((f"{block} {line}", shlex.split(line, comments=True)))
    return lines


def job_of(words: list[str]) -> tuple[str, list[str]] | None:
    """The job a line of shell runs, and its arguments: `sora NAME ...` or `python -m jobs.NAME ...`."""
    for index, word in enumerate(words[:-1]):
        if word == "sora" and not words[index + 1].startswith("("):
            return words[index + 1], words[index + 2 :]
    for index, word in enumerate(words):
        if words[max(0, index - 1)] == "-m" and word.startswith("jobs."):
            return word.removeprefix("jobs."), words[index + 1 :]
    return None


JOB_LINES = [(where, *job) for where, words in shell_lines() if (job := job_of(words)) is not None]
PYTHON = [block for block in BLOCKS if block.language.startswith("python")]


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Parses a command line with the job's own parser, and runs nothing."""

    def parse(job: str, arguments: list[str]) -> Any:
        module = importlib.import_module(f"jobs.{job}")

        def parse_only(name: str, description: str, config_type: type, run: object, argv: list[str]) -> Any:
            return shell._parse(name, description, config_type, argv)

        with monkeypatch.context() as patch:
            patch.setattr(module, "shell_main", parse_only)
            return module.main(arguments)

    return parse


@pytest.fixture(scope="module")
def small_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root named `sora-demo` with two videos, three vectors and a failure."""
    folder = tmp_path_factory.mktemp("docs")
    root = storage.normalize(str(folder / "sora-demo"))
    tables.create_missing(root)
    now, ds = datetime(2026, 1, 2, 3, tzinfo=UTC), date(2026, 1, 2)
    for video_id, num_clips in (("a", 1), ("b", 2)):
        video = {"video_id": video_id, "uri": f"file:///{video_id}.mp4", "version": "1"}
        tables.append_rows(root, "videos", [{**video, "status": "ok", "cataloged_at": now}])
        tables.append_rows(root, "labels", [{**video, "label": "wave", "attributes": [], "source": "folders:x"}])
        lineage = {"model_name": "sora_xs", "model_version": "1", "model_digest": "d", "sampling_digest": "s"}
        row = {**video, **lineage, "num_frames": 16, "run_key": "r", "ds": ds, "produced_at": now}
        slices = [
            {"clip_id": f"{video_id}{k}", "clip_index": k, "start_s": float(k), "end_s": k + 1.0}
            for k in range(num_clips)
        ]
        vector = [0.5, *[float(len(video_id))] * (EMBEDDING_DIM - 1)]
        rows = [{**row, **place, "embedding": vector} for place in slices]
        tables.append(root, "features", pa.Table.from_pylist(rows, schema.FEATURES))
    return folder


def test_the_pages_show_commands() -> None:
    """The laws below would hold for pages without a single block; so there must be some."""
    assert {name for _, name, _ in JOB_LINES} >= set(cli.COMMANDS)
    assert len(PYTHON) >= 4


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_is_in_the_readme(name: str) -> None:
    assert re.search(rf"\bsora {name}\b", README.read_text()), f"README.md does not show `sora {name}`"


@pytest.mark.parametrize(("where", "name", "arguments"), JOB_LINES, ids=[line[0] for line in JOB_LINES])
def test_every_command_line_parses(parsed: Any, where: str, name: str, arguments: list[str]) -> None:
    assert name in cli.COMMANDS, f"{where}: there is no command {name!r}"
    config, options = parsed(name, arguments)
    assert config is not None
    assert options.date is None or options.date.startswith("$(date") or date.fromisoformat(options.date)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_named_in_running_text_is_there(page: Path) -> None:
    named = re.findall(r"`sora ([a-z]+)", page.read_text())
    assert set(named) <= set(cli.COMMANDS)


def test_a_wrong_command_line_would_be_seen(parsed: Any) -> None:
    with pytest.raises(SystemExit):
        parsed("train", ["--root", "x", "--no-such-option", "1"])


def test_every_make_target_is_in_the_makefile() -> None:
    targets = re.findall(r"^(\w+):", (PROJECT_ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    shown = {words[1] for _, words in shell_lines() if words[:1] == ["make"]}
    assert shown
    assert shown <= set(targets)


@pytest.mark.parametrize("name", schema.TABLES)
def test_every_table_and_column_is_in_the_glossary(name: str) -> None:
    sections = re.split(r"^### ", GLOSSARY.read_text(), flags=re.MULTILINE)
    section = next((text for text in sections if text.startswith(f"`{name}`")), None)
    assert section is not None, f"docs/glossary.md has no section on `{name}`"
    words = set(re.findall(r"`(\w+)`", section))
    assert set(schema.TABLES[name].names) - words == set()
    explained = re.findall(r"^\| (.*?) \|", section, flags=re.MULTILINE)
    columns = {word for cell in explained for word in re.findall(r"`(\w+)`", cell)}
    assert columns - set(schema.TABLES[name].names) == set(), "columns that are not there"


@pytest.mark.parametrize("name", schema.TABLES)
def test_every_table_is_in_the_readme(name: str) -> None:
    assert f"| `{name}` |" in README.read_text()


def test_every_error_class_has_its_row_in_operations_and_no_other_has() -> None:
    section = OPERATIONS.read_text().partition("| `error_class` |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE)) == errors.ERROR_CLASSES


@pytest.mark.parametrize("page", [README, OPERATIONS], ids=lambda page: page.name)
def test_every_exit_code_is_explained(page: Path) -> None:
    kinds = [errors.SoraError, *errors.SoraError.__subclasses__(), *errors.TableError.__subclasses__()]
    codes = {kind.exit_code for kind in kinds} | {shell.DONE, shell.DONE_WITH_FAILURES, shell.RETRYABLE}
    explained = {int(code) for code in re.findall(r"^\| (\d+) \|", page.read_text(), flags=re.MULTILINE)}
    assert codes <= explained


def test_every_environment_variable_is_in_operations() -> None:
    sources = [path for folder in ("pipeline", "jobs") for path in (PROJECT_ROOT / folder).rglob("*.py")]
    read = re.compile(r"""env(?:iron)?(?:\.get\(|\.setdefault\(|\[)"(\w+)["]""")
    names = {name for path in sources for name in read.findall(path.read_text())} | set(shell._RAY_ENVIRONMENT)
    assert "AWS_ENDPOINT_URL" in names
    assert names - set(re.findall(r"`(\w+)`", OPERATIONS.read_text())) == set()


def tree() -> list[str]:
    """The paths of the README's tree; folders end with a slash."""
    block = next(block for block in BLOCKS if block.language == "tree")
    paths: list[str] = []
    folder = ""
    for line in block.text.splitlines():
        name = line.split()[0]
        if not line.startswith(" "):
            folder = name if name.endswith("/") else ""
            paths.append(name)
        else:
            paths.append(folder + name)
    return paths


@pytest.mark.parametrize("path", tree())
def test_every_path_of_the_tree_exists(path: str) -> None:
    found = PROJECT_ROOT / path
    assert found.is_dir() if path.endswith("/") else found.is_file()


def test_the_tree_shows_every_folder_and_module_of_the_library() -> None:
    library = PROJECT_ROOT / "pipeline"
    modules = {f"pipeline/{path.name}" for path in library.glob("*.py") if path.name != "__init__.py"}
    folders = {f"pipeline/{path.parent.name}/" for path in library.glob("*/__init__.py")}
    assert (modules | folders) - set(tree()) == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT_ROOT)))
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"\w+://", target):
            continue
        path, _, heading = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{page.name} links to {target}"
        if heading:
            assert heading in _anchors(found), f"{page.name} links to {target}, headings: {sorted(_anchors(found))}"


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_every_python_block_compiles(block: Block) -> None:
    compile(block.text, str(block), "exec")


@pytest.mark.parametrize("block", [block for block in PYTHON if "no-run" not in block.language], ids=str)
def test_every_python_block_reads_the_three_vectors(
    block: Block, small_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed: list[str] = []
    monkeypatch.chdir(small_root)
    names: dict[str, Any] = {"print": lambda *values: printed.append(" ".join(map(str, values)))}
    exec(compile(block.text, str(block), "exec"), {"__builtins__": vars(builtins), **names})
    assert re.search(r"\b3\b", " ".join(printed)), printed


QUERIES = [(where, words[-1]) for where, name, words in JOB_LINES if name == "sql"]


@pytest.mark.parametrize(("where", "text"), QUERIES, ids=[where for where, _ in QUERIES])
def test_every_query_runs(where: str, text: str, small_root: Path) -> None:
    query.sql(str(small_root / "sora-demo"), text)


def test_the_whole_video_query_averages_its_slices(small_root: Path) -> None:
    text = next(text for _, text in QUERIES if "avg(embedding[i])" in text)
    rows = query.sql(str(small_root / "sora-demo"), text).to_pylist()
    assert {row["video_id"] for row in rows} == {"a", "b"}
    assert all(row["embedding"] == [0.5, *[1.0] * (EMBEDDING_DIM - 1)] for row in rows)


def test_the_licence_is_apache_in_full() -> None:
    text = (PROJECT_ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_no_page_holds_a_path_of_somebodys_machine() -> None:
    for page in PAGES:
        assert not re.search(r"(/home/(?!ray)\w|/root/|/Users/)", page.read_text()), page
