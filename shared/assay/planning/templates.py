"""The templates of a suite: which may extend and include which, which columns they need, what is wrong with them.

`prompts.py` compiles prompts here, `preflight.py` asks for columns and complaints. All names are known before a run.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from jinja2 import TemplateSyntaxError, meta, nodes

from assay.errors import AssayError
from assay.planning.sandbox import PromptSandbox
from assay.registry import did_you_mean

MAX_LEVELS = 10
SHOWN_CHARACTERS = 200

_IMPORTS = (nodes.Import, nodes.FromImport)
_REFERENCES = (nodes.Extends, nodes.Include)


class PromptError(AssayError):
    """A template that cannot be compiled or rendered. `line` counts from 1 within the template."""

    def __init__(self, message: str, line: int = 1) -> None:
        super().__init__(message)
        self.line = line


class Templates:
    """The named templates of a suite, and the sandbox in which prompts may use these and no others."""

    def __init__(self, named: Mapping[str, str] | None = None) -> None:
        self._named = dict(named or {})
        self._sandbox = PromptSandbox(self._named)

    def compiled(self, template: str) -> Any:
        """What renders a template. Raises PromptError."""
        self._parsed(template)
        try:
            return self._sandbox.from_string(template)
        except (SyntaxError, RecursionError, ValueError) as error:
            raise PromptError(f"the template is too deep: {said(error)}") from error

    def check(self, template: str) -> None:
        """Raises PromptError for what can be seen to be wrong without a row."""
        tree = self._parsed(template)
        for statement in tree.find_all(_IMPORTS):
            message = "'import' is not possible; extend or include a template of the suite"
            raise PromptError(message, statement.lineno)
        for node, name in _references(tree):
            self._check_reference(node, name)
            if getattr(node, "with_context", True) is False:
                raise PromptError("an included template needs the row: take 'without context' away", node.lineno)
        for used in tree.find_all(nodes.Filter):
            _check_name("filter", used, self._sandbox.filters)
        for asked in tree.find_all(nodes.Test):
            _check_name("test", asked, self._sandbox.tests)
        self.compiled(template)

    def check_named(self, name: str) -> None:
        """The same for a named template, which must not lead back to itself. Raises PromptError."""
        self.check(self._named[name])
        self._check_levels(name, (name,))

    def needed_columns(self, template: str) -> set[str]:
        """Columns without which a checked template, and what it extends and includes, cannot be rendered.

        A name that is only tested (`is defined`) or has a `default` is optional.
        """
        return self._columns(self._parsed(template), frozenset())

    def place_of(self, column: str, template: str, called: str = "the prompt") -> str:
        """Where a checked template first uses a column: `line 3 of the prompt`, `line 1 of template 'base'`."""
        tree = self._parsed(template)
        lines = [node.lineno for node in tree.find_all(nodes.Name) if node.name == column and node.ctx == "load"]
        if lines:
            return f"line {min(lines)} of {called}"
        below = (self.place_of(column, self._named[name], f"template '{name}'") for _, name in _references(tree))
        return next(filter(None, below), "")

    def _columns(self, tree: nodes.Template, overridden: frozenset[str]) -> set[str]:
        """`overridden` are the blocks that a template further out puts its own in place of."""
        for block in list(tree.find_all(nodes.Block)):
            if block.name in overridden:
                block.body = []
        needed = meta.find_undeclared_variables(tree) - set(_optional_names(tree)) - self._around_blocks(tree)
        made = _names_made(tree)
        for node, name in _references(tree):
            blocks = overridden | set(_own_blocks(tree)) if isinstance(node, nodes.Extends) else frozenset[str]()
            needed |= self._columns(self._parsed(self._named[name]), blocks) - made
        return needed

    def _around_blocks(self, tree: nodes.Template) -> set[str]:
        """Names that a template, or one that it extends, makes around a `scoped` block: blocks see these."""
        has_scoped = any(block.scoped for block in tree.find_all(nodes.Block))
        names = _names_made(tree) if has_scoped else set()
        for node, name in _references(tree):
            if isinstance(node, nodes.Extends):
                names |= self._around_blocks(self._parsed(self._named[name]))
        return names

    def _check_reference(self, node: nodes.Node, name: str) -> None:
        if name not in self._named:
            known = f"Templates: {', '.join(self._named)}" if self._named else "It has no 'templates'"
            hint = did_you_mean(name, list(self._named))
            raise PromptError(f"the suite has no template '{name}'{hint}. {known}", node.lineno)

    def _check_levels(self, name: str, path: tuple[str, ...]) -> None:
        for node, below in _references(self._parsed(self._named[name])):
            line = node.lineno if len(path) == 1 else 1
            if below in path:
                raise PromptError(f"the templates lead in a circle: {' > '.join((*path, below))}", line)
            if len(path) >= MAX_LEVELS:
                raise PromptError(f"templates use templates more than {MAX_LEVELS} levels deep", line)
            if below in self._named:
                self._check_levels(below, (*path, below))

    def _parsed(self, template: str) -> nodes.Template:
        try:
            return self._sandbox.parse(template)
        except TemplateSyntaxError as error:
            raise PromptError(f"template syntax: {error.message}", error.lineno) from error
        except RecursionError as error:
            message = "the template is too deep: its brackets or its expressions are nested too often"
            raise PromptError(message) from error


def said(error: Exception) -> str:
    """An error's own words, shortened."""
    return str(error)[:SHOWN_CHARACTERS] or type(error).__name__


def _references(tree: nodes.Template) -> Iterator[tuple[nodes.Node, str]]:
    """What a template extends and includes. Raises PromptError where the name only shows when it is rendered."""
    for node in tree.find_all(_REFERENCES):
        name = getattr(getattr(node, "template", None), "value", None)
        if not isinstance(name, str):
            kind = type(node).__name__.lower()
            raise PromptError(f"'{kind}' takes the name of a template in quotes, and nothing else", node.lineno)
        yield node, name


def _names_made(tree: nodes.Template) -> set[str]:
    return {node.name for node in tree.find_all(nodes.Name) if node.ctx != "load"}


def _own_blocks(tree: nodes.Template) -> Iterator[str]:
    """Blocks that replace those of the extended template altogether."""
    for block in tree.find_all(nodes.Block):
        if not any(node.name == "super" for node in block.find_all(nodes.Name)):
            yield block.name


def _check_name(kind: str, node: nodes.Filter | nodes.Test, known: Iterable[str]) -> None:
    if node.name not in known:
        hint = did_you_mean(node.name, [name for name in known if not name.startswith("_")])
        raise PromptError(f"there is no {kind} '{node.name}'{hint}", node.lineno)


def _optional_names(tree: nodes.Template) -> Iterator[str]:
    softened = [node for node in tree.find_all(nodes.Filter) if node.name in ("default", "d")]
    tested = [node for node in tree.find_all(nodes.Test) if node.name in ("defined", "undefined")]
    for node in (*softened, *tested):
        if isinstance(node.node, nodes.Name):
            yield node.node.name
