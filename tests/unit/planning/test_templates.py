"""Named templates: what prompts may extend and include, which columns that takes, and what is refused."""

from typing import Any

import pytest

from assay.llm.base import ChatMessage
from assay.planning.prompts import compile_prompts
from assay.planning.templates import MAX_LEVELS, PromptError, Templates
from assay.suite.models import Experiment

NAMED = {
    "base": "You sort {{ kind }}.\n{% block rules %}Use {{ labels }}.{% endblock %}\n{% block tone %}{% endblock %}",
    "polite": "{% extends 'base' %}{% block tone %}Be polite to {{ customer }}.{% endblock %}",
    "signature": "-- {{ author }}",
    "listed": "{% for tag in tags %}{% block one scoped %}{% endblock %}{% endfor %}",
}


def rendered(user: str, named: dict[str, str], **fields: Any) -> str:
    criteria = [{"name": "answer", "user": user}]
    experiment = Experiment(name="plain", model={"deployment": "m"}, criteria=criteria)
    (made,) = compile_prompts(experiment, named)
    (message,) = made.render(fields)
    assert isinstance(message, ChatMessage)
    return message.content


def refusal(template: str, named: dict[str, str] | None = None) -> str:
    with pytest.raises(PromptError) as caught:
        Templates(NAMED if named is None else named).check(template)
    return str(caught.value)


class TestRendering:
    def test_a_prompt_fills_the_blocks_of_the_template_that_it_extends(self):
        """What it does not fill stays as it is."""
        prompt = "{% extends 'base' %}{% block tone %}Be brief.{% endblock %}"
        assert rendered(prompt, NAMED, kind="mail", labels="a, b") == "You sort mail.\nUse a, b.Be brief."

    def test_a_block_may_keep_what_it_replaces(self):
        """Through as many levels as there are."""
        prompt = "{% extends 'polite' %}{% block tone %}{{ super() }} Always.{% endblock %}"
        text = rendered(prompt, NAMED, kind="mail", labels="a", customer="Ann")
        assert text == "You sort mail.\nUse a.Be polite to Ann. Always."

    def test_an_included_template_sees_the_row_and_what_surrounds_it(self):
        """As Jinja2 does it."""
        prompt = "{% for author in authors %}{% include 'signature' %};{% endfor %}"
        assert rendered(prompt, NAMED, authors=["Ann", "Bo"]) == "-- Ann;-- Bo;"

    def test_what_a_template_does_wrong_fails_the_row_alone(self):
        """It may only show when a row is there."""
        for prompt, problem in (
            ("{% block a %}{{ super() }}{% endblock %}", "there is no parent block called 'a'. The row has: x"),
            ("{% block a %}{{ self.a() }}{% endblock %}", "recursion"),
            ("{% extends 'signature' %}{% extends 'signature' %}", "extended multiple times"),
        ):
            with pytest.raises(PromptError, match=problem):
                rendered(prompt, NAMED, x=1)

    def test_a_cell_cannot_name_a_template(self):
        """Who writes rows must not choose prompts."""
        assert rendered("{{ cell }}", NAMED, cell="{% include 'signature' %}") == "{% include 'signature' %}"

    def test_templates_have_the_sandbox_of_prompts(self):
        """No attribute of Python is reached through them either."""
        for inside in ("{{ ''.__class__.__mro__ }}", "{{ range.__globals__ }}", "{{ kind.__init__ }}"):
            with pytest.raises(PromptError, match="unsafe"):
                rendered("{% include 'x' %}", {"x": inside}, kind="mail")

    def test_templates_share_the_limits_of_the_prompt_that_uses_them(self):
        """However the work is spread over them."""
        named = {f"t{n}": f"{{% include 't{n + 1}' %}}" * 20 for n in range(5)} | {"t5": ""}
        with pytest.raises(PromptError, match="more than 100,000 steps"):
            rendered("{% include 't0' %}", named)
        half = {"half": "{{ 'x' * 5_000_001 }}"}
        with pytest.raises(PromptError, match="more than 10,000,000 characters"):
            rendered("{% include 'half' %}{% include 'half' %}", half)


class TestColumns:
    @pytest.mark.parametrize(
        ("template", "columns"),
        [
            ("{% extends 'base' %}", {"kind", "labels"}),
            ("{% extends 'base' %}{% block rules %}{{ own }}{% endblock %}", {"kind", "own"}),
            ("{% extends 'base' %}{% block rules %}{{ super() }}{{ own }}{% endblock %}", {"kind", "labels", "own"}),
            ("{% extends 'polite' %}", {"kind", "labels", "customer"}),
            ("{% extends 'polite' %}{% block tone %}.{% endblock %}", {"kind", "labels"}),
            ("{% extends 'polite' %}{% block rules %}.{% endblock %}", {"kind", "customer"}),
            ("{% extends 'base' %}{% set kind = 'mail' %}{% block rules %}.{% endblock %}", set()),
            ("{% extends 'listed' %}{% block one %}{{ tag }} {{ mark }}{% endblock %}", {"tags", "mark"}),
            ("{% include 'signature' %} {{ body }}", {"author", "body"}),
            ("{% for author in authors %}{% include 'signature' %}{% endfor %}", {"authors"}),
        ],
    )
    def test_are_those_of_all_that_is_rendered(self, template: str, columns: set[str]):
        """A block that is replaced needs nothing, nor does a name that the prompt makes itself."""
        templates = Templates(NAMED)
        templates.check(template)
        assert templates.needed_columns(template) == columns


class TestPreflight:
    @pytest.mark.parametrize(
        ("template", "problem"),
        [
            ("{% extends 'bse' %}", "the suite has no template 'bse' (did you mean 'base'?). Templates: base, polite"),
            ("{% include '/etc/passwd' %}", "the suite has no template '/etc/passwd'. Templates: base"),
            ("{% include '../base' %}", "the suite has no template '../base'"),
            ("{% include 'base' without context %}", "an included template needs the row: take 'without context' away"),
            ("{% include name %}", "'include' takes the name of a template in quotes, and nothing else"),
            ("{% include ['base', 'polite'] %}", "'include' takes the name of a template in quotes"),
            ("{% extends 'ba' ~ 'se' %}", "'extends' takes the name of a template in quotes"),
            ("{% if a %}{% include 'none' ignore missing %}{% endif %}", "the suite has no template 'none'"),
            ("{% import 'base' as base %}", "'import' is not possible; extend or include a template of the suite"),
            ("{% from 'base' import x %}", "'import' is not possible"),
        ],
    )
    def test_a_prompt_uses_templates_of_the_suite_and_says_which(self, template: str, problem: str):
        """All that a run may render is known before it."""
        assert refusal(template).startswith(problem)

    @pytest.mark.parametrize(
        ("named", "problem"),
        [
            ({"a": "{% include 'a' %}"}, "the templates lead in a circle: a > a"),
            ({"a": "{% extends 'b' %}", "b": "{% include 'a' %}"}, "the templates lead in a circle: a > b > a"),
            (
                {f"t{n}": f"{{% include 't{n + 1}' %}}" for n in range(MAX_LEVELS)} | {f"t{MAX_LEVELS}": ""},
                "templates use templates more than 10 levels deep",
            ),
            ({"a": "{% include 'c' %}"}, "the suite has no template 'c'. Templates: a"),
            ({"a": "{{ b|uper }}"}, "there is no filter 'uper' (did you mean 'upper'?)"),
        ],
    )
    def test_templates_that_cannot_be_rendered_are_refused_by_their_name(self, named: dict[str, str], problem: str):
        """Also when no prompt uses them yet."""
        with pytest.raises(PromptError) as caught:
            Templates(named).check_named(next(iter(named)))
        assert str(caught.value) == problem

    def test_a_template_that_two_others_use_is_no_circle(self):
        """Only a way back to itself is."""
        named = {"a": "{% include 'b' %}{% include 'c' %}", "b": "{% include 'c' %}", "c": "."}
        for name in named:
            Templates(named).check_named(name)
