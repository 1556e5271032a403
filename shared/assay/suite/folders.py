"""Reads a suite from disk: its `suite.yaml`, and the folders of Markdown prompts beside it, if there are any.

suite.yaml                   all that is not said below
experiments/<name>/          experiment.yaml, system.md, user.md, criteria/<name>/{system,user}.md
packs/<name>/                pack.yaml, and the same prompts
defaults/                    defaults.yaml, and the same prompts
templates/<name>.md          templates that prompts extend or include
"""

import re
from collections.abc import Iterator
from pathlib import Path

from assay.errors import SuiteError, UserError
from assay.registry import did_you_mean
from assay.storage.bundle_names import SUITE_FILE
from assay.suite.located import Node, located, read_node
from assay.suite.resolution import WrittenSuite
from assay.suite.yaml_text import MAX_CHARACTERS, Place, SourceMap, read_yaml, refuse

FOLDERS = ("experiments", "packs", "defaults", "templates")
PROMPTS = ("system", "user")
PROMPT_ENDING = ".md"
_FRONT_MATTER = re.compile(r"---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)


def read_suite_folder(folder: Path) -> WrittenSuite:
    """The suite as it is written in a folder. Raises UserError, also for files that no suite has."""
    file = folder / SUITE_FILE
    text = _text(file)
    node = read_node(text, str(file))
    if not (node.is_mapping and any((folder / name).is_dir() for name in FOLDERS)):
        return WrittenSuite(node, text)
    for section, named, one in (("experiments", "experiment", "list"), ("packs", "pack", "mapping")):
        if (folder / section).is_dir():
            node = _with_each(node, folder / section, named, one)
    if (folder / "defaults").is_dir():
        node = node.having(defaults=_said_once(node.get("defaults"), _asking(folder / "defaults", "defaults")))
    if (folder / "templates").is_dir():
        node = node.having(templates=_said_once(node.get("templates"), _templates(folder / "templates")))
    return WrittenSuite(node)


def _with_each(suite: Node, folder: Path, named: str, kind: str) -> Node:
    """The suite with what the folders in a folder hold, by name: experiments join a list, packs a mapping."""
    found = {path.name: _asking(path, named) for path in _folders(folder)}
    own = suite.get(folder.name)
    if kind == "mapping":
        return suite.having(**{folder.name: _said_once(own, Node(found, Place(str(folder))))})
    if own is not None and not isinstance(own.value, list):
        refuse([(own.place, f"{folder.name}: expected a list")])
    listed = [_named(node, name) for name, node in found.items()]
    return suite.having(**{folder.name: Node([*(own.items if own else []), *listed], Place(str(folder)))})


def _named(node: Node, name: str) -> Node:
    said = node.get("name")
    if said is not None:
        refuse([(said.place, f"the folder's name is the name, '{name}'; take 'name' away")])
    return Node({"name": Node(name, node.place), **node.value}, node.place)


def _asking(folder: Path, named: str) -> Node:
    """The settings and prompts of an experiment, of a pack or of the defaults."""
    settings = f"{named}.yaml"
    _refuse_others(folder, [settings, *_prompt_files()], ["criteria"])
    node = Node({}, Place(str(folder)))
    if (folder / settings).is_file():
        node = _mapping(read_node(_text(folder / settings), str(folder / settings)))
    node = _with_prompts(node, folder)
    criteria = [
        _named(_with_prompts(Node({}, Place(str(one))), one), one.name) for one in _folders(folder / "criteria")
    ]
    for one in _folders(folder / "criteria"):
        _refuse_others(one, _prompt_files(), [])
    if not criteria:
        return node
    return _said_once(node, Node({"criteria": Node(criteria, Place(str(folder / "criteria")))}, node.place))


def _with_prompts(node: Node, folder: Path) -> Node:
    """The node with the prompts of a folder, and what the front matter of each of them says."""
    for role in PROMPTS:
        file = folder / f"{role}{PROMPT_ENDING}"
        if file.is_file():
            front, prompt = _parts(file)
            node = _said_once(_said_once(node, front), Node({role: prompt}, prompt.place))
    return node


def _parts(file: Path) -> tuple[Node, Node]:
    """Front matter and body of a Markdown file; lines count from the beginning of the file."""
    text = _text(file)
    found = _FRONT_MATTER.match(text)
    body = text[found.end() :] if found else text
    blank = len(body) - len(body.lstrip("\n")) if body.strip() else 0
    line = text.count("\n", 0, len(text) - len(body) + blank) + 1
    prompt = Node(body.strip("\n"), Place(str(file), line))
    if not body.strip():
        refuse([(prompt.place, "the prompt is empty; write it below the front matter, or take the file away")])
    if found is None:
        if text.startswith("---"):
            refuse([(Place(str(file), 1), "the front matter has no end; expected a line '---' after it")])
        return Node({}, prompt.place), prompt
    values, tree = read_yaml("\n" + found[1], str(file))
    return _mapping(located({} if tree is None else tree, values)), prompt


def _templates(folder: Path) -> Node:
    files = [path for path in sorted(folder.iterdir()) if path.suffix == PROMPT_ENDING and not _is_ours(path)]
    _refuse_others(folder, [path.name for path in files], [])
    return Node({path.stem: _template(path) for path in files}, Place(str(folder)))


def _template(file: Path) -> Node:
    return located(_text(file).strip("\n"), SourceMap({(): Place(str(file), 1)}))


def _said_once(below: Node | None, above: Node) -> Node:
    """Both mappings in one. Raises SuiteError for what both of them say."""
    if below is None:
        return above
    _mapping(below)
    refuse(
        (node.place, f"'{key}' is said twice, also at {below.value[key].place}; take one of them away")
        for key, node in above.value.items()
        if key in below.value
    )
    return Node({**below.value, **above.value}, below.place)


def _mapping(node: Node) -> Node:
    if node.value is None:
        return Node({}, node.place)
    if not node.is_mapping:
        raise SuiteError(f"{node.place}: expected a mapping of keys to values")
    return node


def _refuse_others(folder: Path, files: list[str], folders: list[str]) -> None:
    """A misspelt prompt must not be left out silently."""
    refuse(_others(folder, files, folders))


def _others(folder: Path, files: list[str], folders: list[str]) -> Iterator[tuple[Place, str]]:
    for path in sorted(folder.iterdir()):
        known = folders if path.is_dir() else files
        if path.name not in known and not _is_ours(path):
            hint = did_you_mean(path.name, [*files, *folders])
            yield Place(str(path)), f"no suite has this{hint}. Known here: {', '.join([*files, *folders]) or 'nothing'}"


def _is_ours(path: Path) -> bool:
    """What people keep beside prompts: notes for themselves, and what their systems hide."""
    return path.name.startswith((".", "_")) or path.name.upper().startswith("README")


def _folders(folder: Path) -> list[Path]:
    """The folders in a folder, by name. Raises SuiteError for a file among them."""
    if not folder.is_dir():
        return []
    there = [path for path in sorted(folder.iterdir()) if not _is_ours(path)]
    refuse(
        (Place(str(path)), f"expected folders here, one for each of the {folder.name}")
        for path in there
        if not path.is_dir()
    )
    return there


def _prompt_files() -> list[str]:
    return [f"{role}{PROMPT_ENDING}" for role in PROMPTS]


def _text(file: Path) -> str:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: not valid UTF-8 at byte {error.start + 1}") from None
    if len(text) > MAX_CHARACTERS:
        raise SuiteError(f"{file}:1: {len(text):,} characters; at most {MAX_CHARACTERS:,} are read")
    return text
