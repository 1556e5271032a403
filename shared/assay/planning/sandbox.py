"""The sandbox of prompts: Jinja2's own, with bounds on the work and the text of one rendering. `prompts.py` uses it.

The bounds turn mistakes into errors. What differs from one rendering to the next is left out.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from jinja2 import DictLoader, StrictUndefined, Template, TemplateRuntimeError, Undefined, filters, nodes, pass_context
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_STEPS = 100_000
MAX_CHARACTERS = 10_000_000
MAX_WIDTH = 100
MAX_INTEGER_BITS = 10_000

LEFT_OUT_FILTERS = ("batch", "center", "pprint", "random", "slice", "urlize", "wordwrap", "xmlattr")
LEFT_OUT_METHODS = ("center", "encode", "expandtabs", "format", "format_map", "ljust", "rjust", "to_bytes", "zfill")
FORMAT_SPEC = re.compile(r"%(?:\([^()]*\))?[-+ #0]*(\*|\d*)(?:\.(\*|\d*))?")
NESTED_KEY = re.compile(r"%\([^()]*\(")
PRINTABLE = (str, int, float, type(None), list, tuple, dict, set, Undefined)


class TooMuch(TemplateRuntimeError):
    """A rendering that takes more steps or makes more text than a prompt may."""


class Budget:
    """What one rendering may still do."""

    def __init__(self) -> None:
        self.steps, self.characters = MAX_STEPS, MAX_CHARACTERS

    def step(self, steps: int = 1) -> None:
        self.steps -= steps
        if self.steps < 0:
            raise TooMuch(f"loops and calls take more than {MAX_STEPS:,} steps")

    def write(self, characters: int) -> None:
        self.characters -= max(0, characters)
        if self.characters < 0:
            raise TooMuch(f"more than {MAX_CHARACTERS:,} characters of text are made")

    def write_all(self, value: Any) -> None:
        """Counts what a value takes when it is printed."""
        if isinstance(value, Undefined):
            str(value)  # raises what it would raise by itself; inside of a list it would print its name
        self.write(len(value) if isinstance(value, str) else 1)
        if isinstance(value, dict):
            value = [*value, *value.values()]
        if isinstance(value, list | tuple | set):
            for part in value:
                self.write_all(part)


_budget: ContextVar[Budget | None] = ContextVar("budget", default=None)


@contextmanager
def bounded() -> Iterator[None]:
    """All that is rendered inside shares one budget; what exceeds it raises TooMuch."""
    token = _budget.set(Budget())
    try:
        yield
    finally:
        _budget.reset(token)


def count_written(characters: int) -> None:
    """Counts text that goes into the prompt by another way than a template. Raises TooMuch."""
    _left().write(characters)


def _left() -> Budget:
    return _budget.get() or Budget()


class PromptSandbox(ImmutableSandboxedEnvironment):
    """Where prompts are compiled and rendered; `templates` are those that they may extend and include, by name."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, templates: Mapping[str, str] | None = None) -> None:
        super().__init__(
            loader=DictLoader(templates or {}),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
            finalize=_finalized,
        )
        self.globals["range"] = _range
        del self.globals["lipsum"]
        self.filters.update(FILTERS)
        for name in LEFT_OUT_FILTERS:
            del self.filters[name]

    @staticmethod
    def concat(pieces: Iterable[str]) -> str:
        """Joins what a template, or a block of it, has written."""
        return "".join(_counted_pieces(pieces))

    def get_template(self, name: Any, parent: str | None = None, globals: Any = None) -> Template:
        """One that is extended or included; templates that include each other many times do not take for ever."""
        _left().step()
        return super().get_template(name, parent, globals)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        OPERATOR_COSTS[operator](left, right)
        return super().call_binop(context, operator, left, right)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        _left().step()
        owner, method = getattr(__obj, "__self__", None), getattr(__obj, "__name__", "")
        if isinstance(owner, str) and method in METHOD_COSTS:
            METHOD_COSTS[method](owner, *args)
        return super().call(__context, __obj, *args, **kwargs)

    def wrap_str_format(self, value: Any) -> None:
        """`'...'.format()` is left out, with all that Jinja2 does to make it safe."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return super().is_safe_attribute(obj, attr, value) and attr not in LEFT_OUT_METHODS

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        """The template's tree, in which every turn of a loop and every part of a `~` counts."""
        tree = super()._parse(source, name, filename)
        for loop in tree.find_all(nodes.For):
            loop.iter = _through("_turns", loop.iter)
        for concat in tree.find_all(nodes.Concat):
            concat.nodes = [_through("_part", part) for part in concat.nodes]
        return tree


def _through(filter_name: str, node: Any) -> nodes.Expr:
    return nodes.Filter(node, filter_name, [], [], None, None, lineno=node.lineno, environment=node.environment)


def _finalized(value: Any) -> Any:
    """What may stand between `{{` and `}}`; a function or a generator would print its address in memory."""
    if not isinstance(value, PRINTABLE):
        raise TemplateRuntimeError(f"a {type(value).__name__} cannot be printed; call it, or add '|list' or '|join'")
    if isinstance(value, list | tuple | set | dict):
        _left().write_all(value)
    return value


def _counted_pieces(pieces: Iterable[str]) -> Iterator[str]:
    budget = _left()
    for piece in pieces:
        budget.write(len(piece))
        yield piece


def _range(*bounds: int) -> range:
    numbers = range(*bounds)
    # Counted by hand, because len() refuses ranges beyond what memory could hold.
    _left().step(1 + abs(numbers[-1] - numbers[0]) // abs(numbers.step) if numbers else 0)
    return numbers


def _cost_of_adding(left: Any, right: Any) -> None:
    if isinstance(left, str | list | tuple) and isinstance(right, str | list | tuple):
        _left().write(len(left) + len(right))


def _cost_of_multiplying(left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int):
        _check_bits(left.bit_length() + right.bit_length())
    for items, times in ((left, right), (right, left)):
        if isinstance(items, str | list | tuple) and isinstance(times, int):
            _left().write(len(items) * times)


def _cost_of_power(base: Any, exponent: Any) -> None:
    if isinstance(base, int) and isinstance(exponent, int):
        _check_bits(base.bit_length() * exponent)


def _check_bits(bits: int) -> None:
    if bits > MAX_INTEGER_BITS:
        raise TooMuch(f"a number has more than {MAX_INTEGER_BITS:,} binary digits")


def _cost_of_format(text: Any, *values: Any) -> None:
    if not isinstance(text, str):
        return
    if NESTED_KEY.search(text):
        raise TooMuch("a name in a format has brackets within brackets")
    for width in (part for spec in FORMAT_SPEC.findall(text.replace("%%", "")) for part in spec if part):
        _check_width(MAX_WIDTH + 1 if width == "*" else int(width[:9]))
        _left().write(MAX_WIDTH)
    _left().write(len(text))
    _left().write_all(values)


def _check_width(width: Any) -> None:
    if isinstance(width, int) and width > MAX_WIDTH:
        raise TooMuch(f"a width or precision is more than {MAX_WIDTH}")


def _cost_of_replacing(text: str, old: Any, new: Any, *_: Any) -> None:
    _left().write(len(text) + text.count(str(old)) * len(str(new)))


def _cost_of_joining(separator: Any, items: Iterable[Any]) -> None:
    parts = list(items)
    _left().write(len(str(separator)) * len(parts))
    _left().write_all(parts)


@pass_context
def _turns(_context: Context, items: Iterable[Any]) -> Iterator[Any]:
    budget = _left()
    for item in items:
        budget.step()
        yield item


@pass_context
def _part(_context: Context, value: Any) -> Any:
    _left().write_all(_finalized(value))
    return value


@pass_context
def _replace(context: Context, text: Any, old: str, new: str, count: int | None = None) -> str:
    _cost_of_replacing(str(text), old, new)
    return filters.do_replace(context.eval_ctx, text, old, new, count)


@pass_context
def _join(context: Context, items: Iterable[Any], d: str = "", attribute: str | int | None = None) -> str:
    parts = list(items)
    _cost_of_joining(d, parts)
    return filters.sync_do_join(context.eval_ctx, parts, d, attribute)


@pass_context
def _indent(_context: Context, text: str, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    _check_width(len(width) if isinstance(width, str) else width)
    _left().write(len(str(text)) + MAX_WIDTH * str(text).count("\n"))
    return filters.do_indent(text, width, first, blank)


@pass_context
def _format(_context: Context, text: str, *values: Any, **named: Any) -> str:
    _cost_of_format(text, *values, *named.values())
    return filters.do_format(text, *values, **named)


@pass_context
def _tojson(context: Context, value: Any, indent: int | None = None) -> str:
    _check_width(indent)
    _left().write_all(value)
    return filters.do_tojson(context.eval_ctx, value, indent)


@pass_context
def _round(_context: Context, value: float, precision: int = 0, method: Any = "common") -> float:
    _check_width(precision)
    return filters.do_round(value, precision, method)


@pass_context
def _string(context: Context, value: Any) -> str:
    return str(_part(context, value))


OPERATOR_COSTS: dict[str, Callable[[Any, Any], None]] = {
    "+": _cost_of_adding,
    "*": _cost_of_multiplying,
    "**": _cost_of_power,
    "%": _cost_of_format,
}
METHOD_COSTS: dict[str, Callable[..., None]] = {"replace": _cost_of_replacing, "join": _cost_of_joining}
FILTERS: dict[str, Callable[..., Any]] = {
    "_turns": _turns,
    "_part": _part,
    "replace": _replace,
    "join": _join,
    "indent": _indent,
    "format": _format,
    "tojson": _tojson,
    "round": _round,
    "string": _string,
}
