"""The sandbox of prompts: nothing gets out of it, and nothing takes more than its share."""

from typing import Any

import pytest
from jinja2 import TemplateRuntimeError, UndefinedError

from assay.planning import sandbox
from assay.planning.sandbox import PromptSandbox, TooMuch, bounded

FIELDS = {"body": "x" * 1_000, "tags": ["a", "b"], "meta": {"name": "Ann"}}
STEPS = "loops and calls take more than 100,000 steps"
TEXT = "more than 10,000,000 characters of text are made"
WIDTH = "a width or precision is more than 100"


def rendered(template: str, **fields: Any) -> str:
    environment = PromptSandbox()
    with bounded():
        return environment.from_string(template).render(FIELDS | fields)


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__ }}",
        "{{ ''['__class__'] }}",
        "{{ ''|attr('__class__') }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ self.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ namespace.__init__.__globals__ }}",
        "{{ range.__globals__ }}",
        "{{ (1).__class__.__base__ }}",
        "{% set x = body.__len__ %}{{ x() }}",
        "{{ tags.append('c') }}",
        "{{ meta.update(x=1) }}",
        "{{ meta.clear() }}",
        "{{ [body]|map(attribute='__class__')|list }}",
    ],
)
def test_what_lies_behind_values_cannot_be_reached(template: str):
    """No class, no global, and no change to a row that other prompts read too."""
    with pytest.raises(TemplateRuntimeError):
        rendered(template)
    assert FIELDS["tags"] == ["a", "b"]


@pytest.mark.parametrize(
    ("template", "kind"),
    [
        ("{{ range }}", "function"),
        ("{{ cycler }}", "type"),
        ("{{ self }}", "TemplateReference"),
        ("{{ meta.items }}", "builtin_function_or_method"),
        ("{{ tags|map('upper') }}", "generator"),
        ("{{ 'x' ~ (tags|map('upper')) }}", "generator"),
        ("{{ tags.__iter__ }}", None),
    ],
)
def test_what_would_print_an_address_is_refused(template: str, kind: str | None):
    """A function's or a generator's text differs from run to run, and is never what was meant."""
    with pytest.raises(TemplateRuntimeError) as caught:
        rendered(template)
    if kind:
        assert str(caught.value) == f"a {kind} cannot be printed; call it, or add '|list' or '|join'"


@pytest.mark.parametrize(
    "template", ["{{ [missing] }}", "{{ tags|map(attribute='nothing')|list }}", "{{ {'a': b}|tojson }}"]
)
def test_what_is_missing_is_not_printed_in_a_list(template: str):
    """Jinja2 would print the word Undefined."""
    with pytest.raises(UndefinedError):
        rendered(template)


@pytest.mark.parametrize("name", ["random", "lipsum"])
def test_nothing_is_drawn_by_lot(name: str):
    """The same row gives the same prompt."""
    environment = PromptSandbox()
    assert name not in environment.filters
    assert name not in environment.globals


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{{ 'x' * 10**10 }}", TEXT),
        ("{{ 10**10 * 'x' }}", TEXT),
        ("{{ ['x'] * 10**9 }}", TEXT),
        ("{{ 10**(10**9) }}", "a number has more than 10,000 binary digits"),
        ("{{ (10**3000) * (10**3000) }}", "a number has more than 10,000 binary digits"),
        ("{{ '%1000000000d' % 1 }}", WIDTH),
        ("{{ '%*d' % (1000000000, 1) }}", WIDTH),
        ("{{ '%.1000000000f'|format(1) }}", WIDTH),
        ("{{ '%(x)1000000000d'|format(x=1) }}", WIDTH),
        ("{{ '%-5.1000000000f' % 1 }}", WIDTH),
        ("{{ '%%%1000000000d' % 1 }}", WIDTH),
        ("{{ '%((x))1000000000d'|format(x=1) }}", "a name in a format has brackets within brackets"),
        ("{{ 'a'|indent(10**9) }}", WIDTH),
        ("{{ meta|tojson(indent=10**9) }}", WIDTH),
        ("{{ 1|round(10**9, 'ceil') }}", WIDTH),
        ("{{ body.replace('x', body * 9000) }}", TEXT),
        ("{{ body|replace('', body * 9000) }}", TEXT),
        ("{{ body.join(body * 9000) }}", TEXT),
        ("{{ (body * 9000)|join(body) }}", TEXT),
        ("{% set x = 'x' %}" + "{% set x = x ~ x %}" * 60 + "{{ x }}", TEXT),
        ("{% set x = 'x' %}" + "{% set x = x + x %}" * 60 + "{{ x }}", TEXT),
        ("{% set x = 'x' %}" + "{% set x %}{{ x }}{{ x }}{% endset %}" * 60 + "{{ x }}", TEXT),
        ("{% set x = [1] %}" + "{% set x = x + x %}" * 60, TEXT),
        ("{% for a in range(50000) %}{{ body }}{% endfor %}", TEXT),
        ("{% for a in range(10**9) %}{% endfor %}", STEPS),
        ("{% for a in range(10**30) %}{% endfor %}", STEPS),
        ("{% for a in range(0, -10**9, -1) %}{% endfor %}", STEPS),
        ("{{ range(10**9)|list }}", STEPS),
        ("{% for a in range(9000) %}{% for b in range(9000) %}{% endfor %}{% endfor %}", STEPS),
        ("{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(40) }}", STEPS),
    ],
)
def test_what_would_take_all_time_or_memory_is_refused(template: str, problem: str):
    """Before the text or the number is made, not after."""
    with pytest.raises(TooMuch) as caught:
        rendered(template)
    assert str(caught.value) == problem


@pytest.mark.parametrize("printed", ["{{ x }}", "{{ x ~ '' }}", "{{ x|string }}", "{{ x|tojson }}", "{{ '%s' % x }}"])
def test_a_value_that_holds_itself_many_times_is_counted_before_it_is_printed(
    printed: str, monkeypatch: pytest.MonkeyPatch
):
    """A list of lists takes no memory until it becomes text."""
    monkeypatch.setattr(sandbox, "MAX_CHARACTERS", 10_000)
    with pytest.raises(TooMuch, match="more than 10,000 characters of text are made"):
        rendered("{% set x = ['x'] %}" + "{% set x = [x, x] %}" * 40 + printed)


@pytest.mark.parametrize(
    "template",
    [
        "{{ body.ljust(10**10) }}",
        "{{ body.center(10**10) }}",
        "{{ '1'.zfill(10**10) }}",
        "{{ '\t'.expandtabs(10**10) }}",
        "{{ '{:>10000000000}'.format(1) }}",
        "{{ '{x:>10000000000}'.format_map({'x': 1}) }}",
        "{{ (5).to_bytes(10**10, 'big') }}",
        "{{ body.encode() }}",
    ],
)
def test_methods_that_make_text_of_any_width_are_left_out(template: str):
    """`|format` with a width of at most 100 does what prompts need."""
    with pytest.raises(TemplateRuntimeError, match=r"access to attribute '\w+' of '(str|int)' object is unsafe"):
        rendered(template)


def test_the_budget_is_that_of_one_rendering():
    """Many rows with long prompts do not add up."""
    for _ in range(3):
        assert len(rendered("{% for a in range(9000) %}{{ body }}{% endfor %}")) == 9_000_000


def test_a_prompt_of_the_longest_cells_fits():
    """Several cells as long as a source accepts, each with a filter, are no mistake."""
    text = rendered("{{ a|trim }}{{ b|replace('x', 'y') }}{{ c ~ '!' }}", a="x" * 10**6, b="x" * 10**6, c="x" * 10**6)
    assert len(text) == 3_000_001
