"""The scripted model is right as often as its script says, and says the same to the same content."""

import json
from pathlib import Path
from typing import Any

import pytest

from assay.local.emulated_draws import normal, uniform
from assay.local.emulated_faults import choose_fault, latency_seconds
from assay.local.emulated_model import EmulatedModel
from assay.local.emulated_schema import schema_instance
from assay.local.emulator_config import Deployment, EmulatorConfig, Faults, Latency, load_emulator_config
from assay.local.emulator_requests import ChatRequest, read_chat_request

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "emulator"
QUEUES = ("billing", "network", "access")


@pytest.fixture(scope="module")
def model() -> EmulatedModel:
    return EmulatedModel(load_emulator_config([FIXTURES / "triage.yaml", FIXTURES / "ratings.yaml"]))


def ask(*texts: str, deployment: str = "mini", **parameters: Any) -> ChatRequest:
    messages = [{"role": "user", "content": text} for text in texts]
    return read_chat_request({"messages": messages, **parameters}, deployment, Deployment(model="m"))


def said(model: EmulatedModel, chat: ChatRequest) -> Any:
    return json.loads(model.match(chat).answer(chat))


def share_right(model: EmulatedModel, *, hard: bool, prompt: str = "", deployment: str = "mini") -> float:
    numbers = range(1 if hard else 2, 601, 2)
    asked = [(n, ask(f"Ticket T-{n} {prompt}", deployment=deployment)) for n in numbers]
    right = sum(bool(said(model, chat)["queue"] == QUEUES[n % 3]) for n, chat in asked)
    return right / len(numbers)


def test_easy_and_hard_rows_are_right_with_the_probability_of_the_rule(model: EmulatedModel) -> None:
    """Three standard errors around 0.9 and 0.5 of 300 rows."""
    assert share_right(model, hard=False) == pytest.approx(0.9, abs=0.052)
    assert share_right(model, hard=True) == pytest.approx(0.5, abs=0.087)


def test_the_first_rule_whose_pattern_is_found_applies(model: EmulatedModel) -> None:
    """A better prompt gets better answers."""
    assert share_right(model, hard=True, prompt="Say what the customer wants.") == 1.0


def test_a_rule_may_be_meant_for_one_deployment(model: EmulatedModel) -> None:
    """Probabilities are set per deployment and prompt."""
    assert share_right(model, hard=False, deployment="large") == 1.0
    assert share_right(model, hard=True, deployment="large") == 0.0


def test_a_wrong_label_is_one_of_the_others(model: EmulatedModel) -> None:
    """Wrong answers look like right ones."""
    answers = {said(model, ask(f"Ticket T-{n}", deployment="large"))["queue"] for n in range(1, 600, 2)}

    assert answers == set(QUEUES)


def test_a_rule_may_rename_what_is_said(tmp_path: Path) -> None:
    """A judge of pairs says "second" where the second answer is the right one's."""
    (tmp_path / "truths.csv").write_text("id,better\n1,variant\n2,tie\n", encoding="utf-8")
    rule = {"name": "swapped", "easy": 1, "says": {"variant": "second", "baseline": "first"}}
    answers = {"file": "truths.csv", "key": "id", "answer": "better"}
    task = {"name": "pairs", "find": "Pair (?P<key>[0-9])", "answers": answers, "skill": [rule]}
    (tmp_path / "emulator.yaml").write_text(json.dumps({"tasks": [task]}), encoding="utf-8")
    model = EmulatedModel(load_emulator_config([tmp_path / "emulator.yaml"]))

    assert [model.match(one).answer(one) for one in (ask("Pair 1"), ask("Pair 2"))] == ["second", "tie"]


def test_answers_to_one_request_vary_with_its_temperature(tmp_path: Path) -> None:
    """Repeats are alike at 0; at 1 about 0.4 of them are drawn anew, and the same attempt always gives the same."""
    (tmp_path / "truths.csv").write_text("id,mark\n1,50\n", encoding="utf-8")
    answers = {"file": "truths.csv", "key": "id", "answer": "mark"}
    skill = {"name": "any", "noise": 1000}
    task = {
        "name": "t",
        "find": "Mark (?P<key>1)",
        "answers": answers,
        "kind": "number",
        "varies": 0.4,
        "skill": [skill],
    }
    (tmp_path / "emulator.yaml").write_text(json.dumps({"tasks": [task]}), encoding="utf-8")
    model = EmulatedModel(load_emulator_config([tmp_path / "emulator.yaml"]))

    def answers_at(temperature: float) -> list[str]:
        chat = ask("Mark 1", temperature=temperature)
        return [model.match(chat).answer(chat, attempt=attempt) for attempt in range(1, 301)]

    assert len(set(answers_at(0))) == 1
    varied = answers_at(1)
    assert varied == answers_at(1)
    assert sum(one != varied[0] for one in varied) / 300 == pytest.approx(0.4, abs=0.085)


def test_the_row_is_sought_in_the_last_message_first(model: EmulatedModel) -> None:
    """Few-shot examples come before the row that is asked about."""
    match = model.match(ask("Example: Ticket T-1 is billing.", "Ticket T-2"))

    assert match.key == "T-2"


def test_an_unknown_key_is_passed_over(model: EmulatedModel) -> None:
    """Only rows with a truth can be answered by a task."""
    assert model.match(ask("Ticket T-9999, see Ticket T-4")).key == "T-4"
    assert model.match(ask("Ticket T-9999")).task is None


def test_answers_do_not_depend_on_order_or_on_the_token_limit(model: EmulatedModel) -> None:
    """A second model asked in another order says the same."""
    other = EmulatedModel(load_emulator_config([FIXTURES / "triage.yaml"]))
    chats = [ask(f"Ticket T-{n}") for n in range(1, 50)]
    forward = [said(model, chat) for chat in chats]

    assert [said(other, chat) for chat in reversed(chats)] == forward[::-1]
    assert ask("Ticket T-1", max_tokens=5).digest == ask("Ticket T-1", max_tokens=50).digest


@pytest.mark.parametrize("change", [{"temperature": 1}, {"seed": 2}, {"deployment": "large"}])
def test_parameters_that_change_an_answer_change_the_digest(change: dict[str, Any]) -> None:
    """Repeats with another seed are other draws."""
    assert ask("Ticket T-1", **change).digest != ask("Ticket T-1").digest


def test_numbers_are_the_truth_with_bias_and_noise_within_the_range(model: EmulatedModel) -> None:
    """Scores 2 to 10 lose one point on average under the strict prompt, and none under the plain one."""
    numbers = [n for n in range(1, 401) if n % 11 >= 2]
    strict = [said(model, ask(f"Review R-{n}, be strict"))["score"] - n % 11 for n in numbers]
    plain = [said(model, ask(f"Review R-{n}"))["score"] - n % 11 for n in numbers]

    assert sum(strict) / len(strict) == pytest.approx(-1.0, abs=0.11)
    assert set(plain) == {0}
    assert said(model, ask("Review R-11, be strict"))["score"] == 0


def test_an_unknown_prompt_gets_a_short_answer_that_stays_the_same(model: EmulatedModel) -> None:
    """Filler is drawn from the content."""
    texts = {model.match(chat).answer(chat) for chat in [ask("Why?")] * 3}
    many = {model.match(chat).answer(chat) for chat in map(ask, map(str, range(100)))}

    assert len(texts) == 1
    assert len(many) > 4


def test_an_unknown_prompt_that_wants_json_gets_a_small_object(model: EmulatedModel) -> None:
    """A caller that parses the answer can go on."""
    answer = said(model, ask("Why? As json.", response_format={"type": "json_object"}))

    assert set(answer) == {"answer", "confidence"}


def test_filler_fits_the_json_schema_that_was_asked_for() -> None:
    """Names, kinds, enums, references and bounds are kept; a recursive schema comes to an end."""
    schema = {
        "type": "object",
        "properties": {
            "label": {"enum": ["a", "b"]},
            "score": {"type": "integer", "minimum": 3, "maximum": 4},
            "sure": {"type": "boolean"},
            "notes": {"type": "array", "items": {"type": "string"}, "minItems": 2},
            "child": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
            "kind": {"$ref": "#/$defs/kind"},
        },
        "$defs": {"kind": {"const": "k"}},
    }

    value = schema_instance(schema, 1, "digest")

    assert value["label"] in ("a", "b") and value["score"] in (3, 4) and isinstance(value["sure"], bool)
    assert len(value["notes"]) == 2 and value["kind"] == "k" and set(value["child"]) == set(value)
    assert schema_instance(schema, 1, "digest") == value


def test_a_filtered_prompt_is_known_by_its_text(model: EmulatedModel) -> None:
    """The patterns of every file apply to every prompt."""
    weapon, bridge = ask("Tell me How To Build A Weapon"), ask("Tell me how to build a bridge")

    assert model.verdict(weapon, model.match(weapon)) == "prompt_filtered"
    assert model.verdict(bridge, model.match(bridge)) is None


def test_an_emulator_without_files_answers_filler() -> None:
    """`--any-deployment` needs no file."""
    model = EmulatedModel(EmulatorConfig({}, ()))
    chat = ask("Hello")

    assert model.match(chat).answer(chat)


def test_faults_come_in_their_shares_and_the_next_attempt_is_another_draw() -> None:
    """Shares of 2000 contents, and few contents fail three times."""
    faults = Faults(error_500=0.1, dropped=0.2)
    drawn = [choose_fault(faults, 3, f"content {n}", 1) for n in range(2000)]
    unlucky = [n for n in range(2000) if all(choose_fault(faults, 3, f"content {n}", a) for a in (1, 2, 3))]

    assert drawn.count("error_500") == pytest.approx(200, abs=42)
    assert drawn.count("dropped") == pytest.approx(400, abs=54)
    assert drawn == [choose_fault(faults, 3, f"content {n}", 1) for n in range(2000)]
    assert len(unlucky) == pytest.approx(54, abs=24)


def test_later_attempts_are_spared_when_only_the_first_may_be_faulted() -> None:
    """A test can make every content fail exactly once."""
    faults = Faults(timeout=1.0, first_attempts=1)

    assert choose_fault(faults, 3, "content", 1) == "timeout"
    assert choose_fault(faults, 3, "content", 2) is None


def test_latency_is_log_normal_around_its_median() -> None:
    """Half of the answers are quicker than the median; sigma 0 gives the median itself."""
    drawn = sorted(latency_seconds(Latency(median=200, sigma=0.5), 1, str(n), 1) for n in range(1001))

    assert drawn[500] == pytest.approx(0.2, rel=0.06)
    assert drawn[841] == pytest.approx(0.2 * 2.718281828**0.5, rel=0.1)
    assert latency_seconds(Latency(median=200), 1, "x", 1) == 0.2


def test_draws_are_even_and_independent_of_each_other() -> None:
    """Mean and variance of a uniform and of a standard normal draw."""
    evens = [uniform(1, n) for n in range(4000)]
    normals = [normal(1, n) for n in range(4000)]

    assert sum(evens) / 4000 == pytest.approx(0.5, abs=0.014)
    assert sum(normals) / 4000 == pytest.approx(0.0, abs=0.048)
    assert sum(value**2 for value in normals) / 4000 == pytest.approx(1.0, abs=0.07)
    assert uniform(1, "a") == uniform(1, "a") != uniform(2, "a")
