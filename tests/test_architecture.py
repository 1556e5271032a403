"""The rules of ARCHITECTURE.md that a machine can check: who imports whom, where SDKs live, what an import costs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "shared" / "assay"
FUNCTION_APP = ROOT / "function_app"

# A room imports rooms of earlier lines and itself, never a neighbour on its own line.
LAYERS = (
    ("errors", "records", "field_problems", "reasoning"),
    ("run_records", "installed", "references", "repetition", "amounts", "patience"),
    ("telemetry_names", "vault", "variables"),
    ("model_settings", "publishing_settings"),
    ("registry", "settings", "telemetry", "storage"),
    ("telemetry_export",),
    ("suite", "sources", "llm", "quota", "tokens", "budget", "scoring", "programs"),
    ("middleware",),
    ("planning",),
    ("execution", "reporting", "provenance"),
    ("sinks",),
    ("orchestration",),
    ("deployments", "destinations"),
    ("runtime",),
    ("local", "function_app"),
    ("cli",),
)
RANKS = {room: rank for rank, rooms in enumerate(LAYERS) for room in rooms}

MAY_USE_AZURE = (
    "storage/",
    "llm/azure_openai.py",
    "provenance/key_vault.py",
    "settings.py",
    "vault.py",
    "deployments.py",
    "destinations.py",
    "telemetry_export/exporters.py",
    "runtime.py",
    "local/",
    "function_app/",
)
MAY_USE_TABLES = ("scoring/statistics/", "reporting/")
TABLE_PACKAGES = {"pandas", "scipy", "statsmodels"}


@dataclass(frozen=True)
class Import:
    """One import statement: the file it is in, the module it names, whether it runs when the file is imported."""

    file: str
    line: int
    module: str
    at_top: bool

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.module}"


def source_files() -> list[Path]:
    return sorted([*PACKAGE.rglob("*.py"), *FUNCTION_APP.rglob("*.py")])


def short_name(path: Path) -> str:
    """`storage/base.py`, `runtime.py`, `function_app/triggers/runs.py`."""
    return path.relative_to(PACKAGE if path.is_relative_to(PACKAGE) else ROOT).as_posix()


def room_of(file: str) -> str:
    return file.partition("/")[0].removesuffix(".py")


def imports_of(path: Path) -> Iterator[Import]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    at_top = set(map(id, top_statements(tree)))
    for node in ast.walk(tree):
        for module in modules_named(node):
            yield Import(short_name(path), getattr(node, "lineno", 0), module, id(node) in at_top)


def top_statements(node: ast.AST) -> Iterator[ast.AST]:
    """What runs when the module is imported: everything outside functions and `if TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            continue
        yield child
        yield from top_statements(child)


def modules_named(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"line {node.lineno}: relative import; name the module in full"
        # `from assay import settings` names the room only after the import.
        return [f"assay.{alias.name}" for alias in node.names] if node.module == "assay" else [node.module or ""]
    return []


ALL_IMPORTS = [found for path in source_files() for found in imports_of(path)]


def test_every_room_has_its_layer() -> None:
    """A new room is put into the order before anything imports it."""
    rooms = {room_of(short_name(path)) for path in source_files()} - {"__init__"}
    assert rooms - RANKS.keys() == set()


def test_rooms_import_only_what_lies_below() -> None:
    """Data goes one way: never to the right, and never to a neighbour."""
    wrong = [
        str(found)
        for found in ALL_IMPORTS
        if (target := imported_room(found.module)) and not may_import(room_of(found.file), target)
    ]
    assert wrong == []


def imported_room(module: str) -> str | None:
    """The room of our own that a module belongs to."""
    package, _, rest = module.partition(".")
    room = rest.partition(".")[0]
    return room if package == "assay" and room in RANKS else None


def may_import(room: str, target: str) -> bool:
    return room == target or RANKS[target] < RANKS[room]


@pytest.mark.parametrize(
    ("room", "target", "allowed"),
    [
        ("execution", "quota", True),
        ("storage", "storage", True),
        ("quota", "execution", False),
        ("llm", "quota", False),
        ("runtime", "cli", False),
    ],
)
def test_the_order_means_what_it_says(room: str, target: str, allowed: bool) -> None:
    """Left and itself yes; right and neighbours no."""
    assert may_import(room, target) is allowed


def test_azure_sdks_stay_in_their_adapters() -> None:
    """Everything else can be run, tested and read without Azure."""
    wrong = [
        str(found)
        for found in ALL_IMPORTS
        if found.module.partition(".")[0] == "azure" and not found.file.startswith(MAY_USE_AZURE)
    ]
    assert wrong == []


def test_settings_and_runtime_load_azure_only_when_they_need_it() -> None:
    """A command that touches no Azure does not wait for its SDKs."""
    wrong = [
        str(found)
        for found in ALL_IMPORTS
        if found.module.partition(".")[0] == "azure"
        and found.at_top
        and found.file in ("settings.py", "vault.py", "runtime.py")
    ]
    assert wrong == []


def test_table_packages_stay_with_the_evaluation() -> None:
    """pandas, scipy and statsmodels double a worker's start and triple its memory."""
    wrong = [
        str(found)
        for found in ALL_IMPORTS
        if found.module.partition(".")[0] in TABLE_PACKAGES
        and found.at_top
        and not found.file.startswith(MAY_USE_TABLES)
    ]
    assert wrong == []


def event_names(path: Path) -> Iterator[str]:
    """The first arguments of `telemetry.event` and `telemetry.problem`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        is_report = isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
            ("telemetry.event", "telemetry.problem")
        )
        if is_report:
            yield from (one.value for one in node.args[:1] if isinstance(one, ast.Constant))


def test_events_are_named_alike() -> None:
    """Whoever searches logs or writes an alert need not guess between `run.planned` and `run_planned`."""
    named = {name for path in source_files() for name in event_names(path)}
    assert "run_planned" in named
    assert [name for name in sorted(named) if not re.fullmatch(r"[a-z]+(_[a-z]+)+", name)] == []


def test_packages_hold_no_code() -> None:
    """An `__init__` with imports would make every room pay for its neighbours."""
    for path in PACKAGE.rglob("__init__.py"):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        rest = [node for node in body if not is_plain(node)]
        assert rest == [], f"{short_name(path)}:{rest[0].lineno}: expected a docstring only"


def is_plain(node: ast.stmt) -> bool:
    """A docstring or a constant such as `__version__`."""
    return isinstance(node, ast.Expr | ast.Assign) and isinstance(node.value, ast.Constant)


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("assay", {"azure", "pydantic", "aiohttp", "openai", *TABLE_PACKAGES}),
        ("assay.errors", {"azure", "pydantic", "aiohttp", "openai", *TABLE_PACKAGES}),
        ("assay.programs.model", {"azure", "pydantic", "pydantic_settings", "aiohttp", "openai", *TABLE_PACKAGES}),
        ("assay.settings", {"azure", "aiohttp", "openai", *TABLE_PACKAGES}),
        ("assay.storage.base", {"azure", "aiohttp", *TABLE_PACKAGES}),
        ("assay.execution.worker", {"azure", "openai", *TABLE_PACKAGES}),
        ("assay.runtime", {"azure", "openai", *TABLE_PACKAGES}),
    ],
)
def test_an_import_stays_light(module: str, unwanted: set[str]) -> None:
    """What a process does not need yet is not loaded."""
    code = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert unwanted & set(run.stdout.split()) == set()


def test_no_two_test_files_share_a_name() -> None:
    """pytest imports them by name, and stops before the first test when two of them share it."""
    files = [path for path in (ROOT / "tests").rglob("test_*.py") if not (path.parent / "__init__.py").exists()]
    names = [path.name for path in files]
    assert sorted({name for name in names if names.count(name) > 1}) == []
