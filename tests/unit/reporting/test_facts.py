"""Facts for any format: what plugins found, what was confused, what is known of a comparison, what judges did."""

from decimal import Decimal

from assay.records import Usage
from assay.reporting.comparison_facts import comparison_facts
from assay.reporting.contents import Confusion, Contents
from assay.reporting.fact_tables import aggregate_tables, comparer_tables, confusion_lines, confusion_names
from assay.reporting.judge_records import JudgedExperiment, JudgeFacts, Positions
from assay.reporting.judge_sentences import judge_sentences
from assay.reporting.money import Cost
from assay.scoring.results import Agreement, Equivalence, Interval
from builders import triage_run
from evaluations import evaluate


def contents() -> Contents:
    run = triage_run(rows=60)
    return evaluate(run.header, run.suite, run.plan, run.outcomes, (), 0, run.rows)


def interval(estimate: float | None, low: float | None = None, high: float | None = None) -> Interval:
    return Interval(estimate, low, high, 0.95, "Wilson")


def test_figures_of_plugins_are_laid_side_by_side() -> None:
    """Rule: a line per figure with the names that lead to it, a column per experiment; nothing is left out silently."""
    of = contents()
    figures = {"report": {"accuracy": 0.87123, "kappa": None, "labels": {"billing": {"support": 1_234}}}}
    error = {"report": {"error": "aggregator 'report' failed: ValueError: no labels"}}
    first, second, third = of.experiments
    experiments = (
        first.model_copy(update={"aggregates": figures}),
        second.model_copy(update={"aggregates": error}),
        third.model_copy(update={"aggregates": {}}),
    )

    (table,) = aggregate_tables(of.model_copy(update={"experiments": experiments}))

    assert (table.name, table.columns, table.left_out) == ("report", ("plain", "think-first"), 0)
    assert table.lines == (
        ("accuracy", ("0.8712", "–")),
        ("kappa", ("–", "–")),
        ("labels · billing · support", ("1,234", "–")),
        ("error", ("–", "aggregator 'report' failed: ValueError: no labels")),
    )


def test_lists_of_comparers_have_a_line_per_entry() -> None:
    """Rule: nested figures read as a sentence part."""
    changes = {"changes": [{"from": "billing", "to": None, "changed": 9}], "names": ["a", "b"]}
    of = contents().model_copy(update={"comparers": {"short": {"label_changes": changes}}})

    (table,) = comparer_tables(of)

    assert table.lines == (("changes 1", ("from billing, to –, changed 9",)), ("names", ("a, b",)))


def test_very_many_figures_are_cut_and_counted() -> None:
    """Rule: one plugin cannot fill the page."""
    figures = {"many": {str(at): at for at in range(250)}}
    (table,) = comparer_tables(contents().model_copy(update={"comparers": {"short": figures}}))

    assert (len(table.lines), table.left_out) == (200, 50)


def test_confusion_is_tinted_by_the_share_of_its_line() -> None:
    """Rule: labels stand in one order everywhere; only shown ones can be right; only what is zero has no tint."""
    confusion = Confusion(labels=("b", "a"), counts=((0, 0, 0), (1, 9, 0), (0, 1, 199)), others=3)

    (first, empty, other) = confusion_lines(confusion)

    assert confusion_names(confusion) == ["a", "b", "other (3)"]
    assert [(cell.count, cell.share, cell.heat, cell.right) for cell in first[2]] == [
        (9, "90 %", 8, True),
        (1, "10 %", 1, False),
        (0, "0 %", 0, False),
    ]
    assert (empty[1], [cell.heat for cell in empty[2]]) == (0, [0, 0, 0])
    assert [(cell.heat, cell.right) for cell in other[2]] == [(1, False), (0, False), (9, False)]


def test_all_that_is_known_of_a_comparison_is_said() -> None:
    """Rule: the test and why, p raw and adjusted, counts, effects, equivalence, power, missing rows."""
    run = triage_run()
    one = evaluate(run.header, run.suite, run.plan, run.outcomes, (), 0, run.rows).primary_comparisons[0]
    shown = Equivalence(0.03, interval(None, 0.01, 0.12), 0.4, False, "TOST", p_adjusted=0.41)
    one = one.model_copy(update={"result": one.result.model_copy(update={"equivalence": shown})})

    facts = dict(comparison_facts(one))

    assert list(facts) == [
        *("Verdict", "Test", "p", "Difference", "Pairs", "Effect sizes", "Odds ratio", "Equivalence"),
        *("Chance to be better", "Smallest difference to be seen", "Missing"),
    ]
    assert "because" in facts["Test"]
    assert "Raw " in facts["p"] and "adjusted (Holm)" in facts["p"]
    assert "the variant is higher on" in facts["Pairs"]
    assert facts["Equivalence"] == (
        "That the difference lies within ±3.0 points is not shown: 95 % interval +1.0 to +12.0, p = 0.41 (TOST)."
    )
    assert facts["Missing"] == one.missing_sentence


def test_judges_say_how_far_they_can_be_trusted() -> None:
    """Rule: agreement with people and the pull of the places stand beside every judge, with their intervals."""
    agreement = Agreement(50, interval(0.8, 0.67, 0.89), interval(0.61, 0.4, 0.8), "quadratic", None, None, -0.25)
    positions = Positions(pairs=90, flipped=interval(0.1, 0.05, 0.18), ties=interval(0.2, 0.13, 0.29), equal=1)
    judge = JudgeFacts(
        name="quality",
        plugin="pairwise_judge",
        deployment="gpt-4o",
        is_pairwise=True,
        usage=Usage(),
        money=Cost(spent_usd=Decimal("1.25")),
        models={"gpt-4o-2024": 180},
        experiments=(
            JudgedExperiment(
                experiment="short", against="plain", judged=90, unusable=2, human="rating", agreement=agreement,
                positions=positions,
            ),
        ),
    )  # fmt: skip

    assert judge_sentences(judge) == (
        "`gpt-4o-2024` judged 90 pairs of answers for 1.25 USD.",
        "2 judgements failed or could not be used: those have no score.",
        "With `rating` on short: 80.0 % (67.0 to 89.0 %) of 50 ratings equal; weighted kappa 0.61 (0.40 to 0.80); the"
        " judge's ratings lie −0.25 from people's on average.",
        "short against plain: of 90 pairs asked both ways round, 10.0 % (5.0 to 18.0 %) changed the verdict with the"
        " places and count as ties, 20.0 % (13.0 to 29.0 %) were honest ties; 1 pair of equal answers were not asked.",
    )
