"""Prompts: which columns they need, what they render, and what is refused before a run."""

import json
from typing import Any

import pytest

from assay.llm.base import ChatMessage
from assay.planning.prompts import Prompt, compile_prompts
from assay.planning.templates import PromptError, Templates
from assay.suite.models import Experiment


def prompt(user: str, system: str | None = None) -> Prompt:
    criterion = {"name": "answer", "system": system, "user": user}
    (made,) = compile_prompts(Experiment(name="plain", model={"deployment": "m"}, criteria=[criterion]))
    return made


def rendered(template: str, **fields: Any) -> str:
    return prompt(template).render(fields)[0].content


def refusal(template: str, **fields: Any) -> str:
    with pytest.raises(PromptError) as caught:
        prompt(template).render(fields)
    return str(caught.value)


class TestNeededColumns:
    @pytest.mark.parametrize(
        ("template", "columns"),
        [
            ("{{ subject }}: {{ body }}", {"subject", "body"}),
            ("{{ subject|upper }}{% if urgent %}!{% endif %}", {"subject", "urgent"}),
            ("{{ meta.tags[0] }}", {"meta"}),
            ("{% for tag in tags %}{{ loop.index }} {{ tag }}{% endfor %}", {"tags"}),
            ("{% set short = body[:20] %}{{ short }}", {"body"}),
            ("{% macro quote(text) %}> {{ text }}{% endmacro %}{{ quote(body) }}", {"body"}),
            ("{{ first ~ last }}", {"first", "last"}),
            ("{% raw %}{{ not_this }}{% endraw %}", set()),
            ("{# {{ nor_this }} #}plain text", set()),
            ("{% for number in range(3) %}{{ number }}{% endfor %}", set()),
        ],
    )
    def test_are_those_that_the_template_takes_from_the_row(self, template: str, columns: set[str]):
        """Names that the template makes itself, and Jinja2's own, are no columns."""
        assert Templates().needed_columns(template) == columns

    @pytest.mark.parametrize(
        "template",
        [
            "{{ note|default('none') }}",
            "{{ note|d('none') }}",
            "{% if note is defined %}{{ note }}{% endif %}",
            "{% if note is not undefined %}{{ note }}{% endif %}",
        ],
    )
    def test_a_column_that_is_tested_or_has_a_default_is_optional(self, template: str):
        """It may be missing, and then renders as the template says."""
        assert Templates().needed_columns(template) == set()
        assert rendered(f"-{template}-", note="x") == "-x-"
        assert rendered(f"-{template}-") in ("--", "-none-")


class TestRendering:
    def test_system_and_user_prompts_are_messages_in_this_order(self):
        """White space around each is stripped."""
        made = prompt("\n  {{ q }}?\n\n", "You sort {{ kind }}.")
        assert made.render({"q": "Which", "kind": "mail"}) == (
            ChatMessage("system", "You sort mail."),
            ChatMessage("user", "Which?"),
        )

    def test_a_cell_is_text_and_never_a_template(self):
        """Who writes rows must not write prompts."""
        cell = "{{ 7 * 7 }}{% for x in range(10**9) %}{% endfor %}{# gone #}"
        assert rendered("{{ cell }}", cell=cell) == cell
        assert rendered("{% set again = cell %}{{ again|safe }}", cell=cell) == cell

    def test_text_is_not_escaped_for_web_pages(self):
        """A model reads < and &, not their names."""
        assert rendered("{{ cell }}", cell="<a href='x'>&</a>") == "<a href='x'>&</a>"

    @pytest.mark.parametrize(
        ("template", "text"),
        [
            ("{% for tag in tags %}{{ loop.index }}/{{ loop.length }} {{ tag }};{% endfor %}", "1/2 a;2/2 b;"),
            ("{% for tag in tags if tag != 'a' %}{{ tag }}{% else %}none{% endfor %}", "b"),
            ("{% macro quote(text) %}> {{ text }}{% endmacro %}{{ quote(tags[0]) }}", "> a"),
            ("{% set ns = namespace(t='') %}{% for x in tags %}{% set ns.t = ns.t ~ x %}{% endfor %}{{ ns.t }}", "ab"),
            ("{{ tags|map('upper')|join(', ') }} {{ ' '.join(tags) }}", "A, B a b"),
            ("{{ meta.name }} {{ meta['name'] }} {{ meta|tojson }}", 'Ann Ann {"name": "Ann"}'),
            ("{{ '%-4s|%5.2f' % ('x', 1.5) }} {{ '%s-%s 500'|format(1, 2) }}", "x   | 1.50 1-2 500"),
            ("{{ '%d%% of 500' % 5 }} {{ '%(n)s'|format(n=3) }}", "5% of 500 3"),
            ("{{ text.replace('o', '0') }} {{ text|replace('o', '') }}", "f0g fg"),
            ("{{ 'a\nb'|indent(2) }} {{ 3.14159|round(2) }} {{ 2 * 3 + 2 ** 3 }}", "a\n  b 3.14 14"),
            ("{{ text or '(none)' }} {{ empty or '(none)' }}", "fog (none)"),
        ],
    )
    def test_what_prompts_are_made_of_works(self, template: str, text: str):
        """The sandbox leaves loops, macros, filters and arithmetic as they are."""
        assert rendered(template, tags=["a", "b"], meta={"name": "Ann"}, text="fog", empty="") == text

    def test_a_missing_column_is_told_with_what_the_row_has(self):
        """JSON rows may lack what others have."""
        assert refusal("{{ summary }}", id=1, text="x") == (
            "criterion 'answer': 'summary' is undefined. The row has: id, text"
        )

    def test_a_missing_part_of_a_cell_is_told(self):
        """Nested values are looked up when the prompt is made."""
        expected = "criterion 'answer': 'dict object' has no attribute 'name'. The row has: meta"
        assert refusal("{{ meta.name }}", meta={}) == expected

    @pytest.mark.parametrize(
        ("template", "problem"),
        [
            ("{{ 1 / 0 }}", "division by zero"),
            ("{{ cell|dictsort }}", "'str' object has no attribute 'items'"),
            ("{{ cell + 1 }}", 'can only concatenate str (not "int") to str'),
            ("{{ cell.upper(1) }}", "str.upper() takes no arguments (1 given)"),
        ],
    )
    def test_whatever_an_expression_raises_is_a_prompt_error(self, template: str, problem: str):
        """One row that does not fit must not end the chunk it is in."""
        assert refusal(template, cell="x") == f"criterion 'answer': {problem}"

    def test_a_macro_that_calls_itself_without_end_is_a_prompt_error(self):
        """The interpreter's own limit is one more thing that an expression can raise."""
        assert "recursion" in refusal("{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}")

    def test_half_of_a_surrogate_pair_is_refused(self):
        """No request can carry it."""
        assert "surrogates not allowed" in refusal(r"{{ '\ud800' }}")


class TestPreflight:
    @pytest.mark.parametrize(
        ("template", "line", "expected"),
        [
            ("a\n{{ b", 2, "template syntax: unexpected end of template, expected 'end of print statement'."),
            ("{% if %}", 1, "template syntax: Expected an expression, got 'end of statement block'"),
            ("a\n\n{% unknown %}", 3, "template syntax: Encountered unknown tag 'unknown'."),
            ("{% include 'x.md' %}", 1, "the suite has no template 'x.md'. It has no 'templates'"),
            ("a\n{% import 'x.md' as x %}", 2, "'import' is not possible; extend or include a template of the suite"),
            ("a\n{% from 'x.md' import x %}", 2, "'import' is not possible; extend or include a template of the suite"),
            ("{% extends 'x.md' %}", 1, "the suite has no template 'x.md'. It has no 'templates'"),
            ("a\n{{ b|uper }}", 2, "there is no filter 'uper' (did you mean 'upper'?)"),
            ("{% if a is defned %}{% endif %}", 1, "there is no test 'defned' (did you mean 'defined'?)"),
            ("{{ [1, 2]|random }}", 1, "there is no filter 'random'"),
            ("{{ a|center(10**10) }}", 1, "there is no filter 'center'"),
        ],
    )
    def test_what_can_be_seen_without_a_row_is_refused_with_its_line(self, template: str, line: int, expected: str):
        """Nothing is spent on a run that cannot succeed."""
        with pytest.raises(PromptError) as caught:
            Templates().check(template)
        assert (caught.value.line, str(caught.value)) == (line, expected)

    @pytest.mark.parametrize(
        "template",
        [
            "{{ " + "(" * 5_000 + "1" + ")" * 5_000 + " }}",
            "{{ " + "1 + " * 5_000 + "1 }}",
            "{% for x in xs %}" * 30 + "{% endfor %}" * 30,
            "{% if a %}" * 2_000 + "{% endif %}" * 2_000,
        ],
    )
    def test_a_template_too_deep_for_the_compiler_is_refused(self, template: str):
        """Neither the interpreter's depth nor its limits on blocks end a worker."""
        with pytest.raises(PromptError, match="the template is too deep: "):
            Templates().check(template)


class TestConversations:
    def made(self, **changes: Any) -> Prompt:
        criterion = {"name": "answer", "system": "Sort.", "user": "{{ q }}", **changes}
        (made,) = compile_prompts(Experiment(name="plain", model={"deployment": "m"}, criteria=[criterion]))
        return made

    def test_examples_and_history_stand_between_system_and_user_prompt(self):
        """In this order, so that the model sees the question last."""
        examples = [{"user": "Is {{ kind }} good?", "assistant": "yes"}, {"user": "2", "assistant": "no"}]
        made = self.made(examples=examples, history="chat")
        chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
        assert [(one.role, one.content) for one in made.render({"q": "Q", "kind": "mail", "chat": chat})] == [
            ("system", "Sort."),
            ("user", "Is mail good?"),
            ("assistant", "yes"),
            ("user", "2"),
            ("assistant", "no"),
            ("user", "Hi"),
            ("assistant", "Hello."),
            ("user", "Q"),
        ]

    @pytest.mark.parametrize(
        ("fields", "problem"),
        [
            ({"chat": "[{"}, "criterion 'answer': history 'chat': Expecting property name"),
            ({"chat": ["Hi"]}, "criterion 'answer': history 'chat': message 1: expected a mapping"),
            ({}, "criterion 'answer': there is no 'chat'. The row has: q"),
        ],
    )
    def test_a_row_without_a_conversation_is_a_prompt_error(self, fields: dict[str, Any], problem: str):
        """It fails this trial, and no other."""
        with pytest.raises(PromptError) as caught:
            self.made(history="chat").render({"q": "Q", **fields})
        assert str(caught.value).startswith(problem)

    def test_the_schema_is_told_under_the_criterion_s_name_and_counted_as_prompt(self):
        """The model reads it, and so it is paid for."""
        made = self.made(schema=["label"])
        assert made.schema is not None
        assert made.schema.name == "answer"
        assert json.loads(made.schema.text)["required"] == ["label"]
        *messages, counted = made.counted({"q": "Q"})
        assert tuple(messages) == made.render({"q": "Q"})
        assert counted.content == made.schema.text

    def test_without_a_schema_the_messages_alone_are_counted(self):
        """As ever."""
        made = self.made()
        assert made.counted({"q": "Q"}) == made.render({"q": "Q"})
