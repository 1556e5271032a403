"""The token estimate and how it learns; the limiter that never waits."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.llm.base import ChatMessage
from assay.quota.base import Charge, Throttling
from assay.quota.none import NoLimiter
from assay.telemetry import RecordingTelemetry
from assay.tokens import encodings
from assay.tokens.calibration import RelativeError, RunningRatio
from assay.tokens.estimate import PROMPTS_BETWEEN_REPORTS, TokenEstimator, estimate_tokens


def estimator(deployment: str = "chat", **options: object) -> TokenEstimator:
    return TokenEstimator(deployment, RecordingTelemetry(), **options)  # type: ignore[arg-type]


def prompt(characters: int) -> tuple[ChatMessage, ...]:
    return (ChatMessage("system", "x" * 20), ChatMessage("user", "y" * (characters - 20)))


def taught(characters_per_token: float, prompts: int = 200, noise: float = 0.0) -> TokenEstimator:
    """An estimator after so many prompts of a language with so many characters per token."""
    random, made = Random(7), estimator()
    for _ in range(prompts):
        messages = prompt(random.randint(400, 4_000))
        tokens = sum(len(each.content) for each in messages) / characters_per_token * (1 + random.gauss(0, noise))
        made.learn(messages, round(tokens) + 4 * len(messages))
    return made


def test_a_prompt_is_a_quarter_of_its_characters_and_four_per_message() -> None:
    """Rounded up per message: 5 characters are 2 tokens, 0 are none."""
    assert estimate_tokens([ChatMessage("system", "Hello"), ChatMessage("user", "")]) == (2 + 4) + (0 + 4)


def test_an_estimator_begins_with_four_characters_per_token() -> None:
    """And with four tokens around each message."""
    assert estimator().estimate(prompt(2_001)) == 501 + 8
    assert estimator().billed(prompt(2_000)) == 500 + 8


@pytest.mark.parametrize("characters_per_token", [1.2, 3.0, 4.0, 5.5])
def test_the_bill_is_learned_from_usage(characters_per_token: float) -> None:
    """Within one percent after 200 prompts, whatever the language."""
    expected = 3_000 / characters_per_token + 8
    assert taught(characters_per_token).billed(prompt(3_000)) == pytest.approx(expected, rel=0.01)


def test_the_charge_is_never_below_either_rule() -> None:
    """Nobody knows which one a deployment charges by: too low is refused, too high is only lost."""
    assert taught(5.5).estimate(prompt(3_000)) == 750 + 8
    assert taught(2.0).estimate(prompt(3_000)) == pytest.approx(1_508, rel=0.01)


def test_one_odd_prompt_does_not_turn_what_was_learned() -> None:
    """It counts for at most twice what was expected of it."""
    steady = taught(4.0)
    steady.learn(prompt(3_000), 3_000_000)
    assert steady.billed(prompt(3_000)) == pytest.approx(758, rel=0.02)


def test_another_language_is_learned_within_some_hundred_prompts() -> None:
    """What is long past is forgotten."""
    made = taught(4.0)
    for _ in range(600):
        made.learn(prompt(2_000), 1_608)
    assert made.billed(prompt(2_000)) == pytest.approx(1_608, rel=0.05)


def test_bias_and_sigma_are_those_of_the_estimates() -> None:
    """Prompts of 5 characters per token with 10 % noise, charged by a quarter of the characters: 25 % too high."""
    made = taught(5.0, prompts=2_000, noise=0.1)
    assert made.bias == pytest.approx(0.25, abs=0.05)
    assert made.sigma == pytest.approx(0.13, abs=0.04)


@given(st.lists(st.floats(0.5, 2.0), min_size=2, max_size=100))
def test_the_running_error_is_mean_and_deviation_while_it_forgets_nothing(ratios: list[float]) -> None:
    """Against the definition, up to the number of errors that are remembered."""
    error = RelativeError()
    for ratio in ratios:
        error.learn(ratio, 1.0)
    mean = sum(ratio - 1 for ratio in ratios) / len(ratios)
    variance = sum((ratio - 1 - mean) ** 2 for ratio in ratios) / len(ratios)
    assert error.bias == pytest.approx(mean, abs=1e-9)
    assert error.sigma == pytest.approx(variance**0.5, abs=1e-6)


def test_empty_texts_and_missing_usage_teach_nothing() -> None:
    """A ratio needs both of its parts."""
    made = estimator()
    made.learn(prompt(2_000), 0)
    assert (made.bias, made.sigma) == (0.0, 0.0)
    ratio = RunningRatio(0.25, 100)
    ratio.learn(0, 50)
    assert ratio.value == 0.25


@given(st.text(max_size=200))
def test_the_highest_bill_is_a_token_a_byte_until_prompts_were_seen(text: str) -> None:
    """No byte-pair encoding has more tokens than bytes."""
    messages = (ChatMessage("user", text),)
    assert estimator().highest(messages) == len(text.encode("utf-8", "surrogatepass")) + 8
    assert estimator().highest(messages) >= estimator().billed(messages)


@pytest.mark.parametrize("characters_per_token", [1.5, 4.0, 6.0])
def test_the_highest_bill_is_close_to_the_truth_once_prompts_were_seen(characters_per_token: float) -> None:
    """Above what is billed in all but a few of a thousand cases, and not by much."""
    made = taught(characters_per_token, prompts=1_000, noise=0.03)
    random, above = Random(11), 0
    for _ in range(1_000):
        messages = prompt(random.randint(400, 4_000))
        characters = sum(len(each.content) for each in messages)
        above += characters / characters_per_token * (1 + random.gauss(0, 0.03)) + 8 > made.highest(messages)
    assert above <= 3
    assert made.highest(prompt(2_000)) < 1.3 * (2_000 / characters_per_token + 8)


def test_the_error_is_reported_now_and_then() -> None:
    """Once it is known, and then every thousand prompts."""
    telemetry = RecordingTelemetry()
    made = TokenEstimator("chat", telemetry)
    for _ in range(PROMPTS_BETWEEN_REPORTS + 1):
        made.learn(prompt(2_000), 508)
    reports = telemetry.named("token_estimates")
    assert [report["prompts"] for report in reports] == [30, PROMPTS_BETWEEN_REPORTS]
    assert reports[0] == {
        "deployment": "chat",
        "prompts": 30,
        "bias": 0.0,
        "sigma": 0.0,
        "counted_in": "characters",
        "tokens_per_unit": 0.25,
    }


def test_a_model_s_own_encoding_is_scaled_by_usage_too() -> None:
    """What a service adds to a prompt is learned even where its tokens can be counted."""
    made = estimator(count=lambda text: len(text) // 5)
    assert made.billed(prompt(2_000)) == 400 + 8
    for _ in range(300):
        made.learn(prompt(2_000), 448)
    assert made.billed(prompt(2_000)) == pytest.approx(448, abs=2)


class FakeTiktoken:
    """The part of tiktoken that is used; `fetched` holds the encodings that it was asked to load."""

    def __init__(self) -> None:
        self.loaded: list[str] = []
        self.counted: list[str] = []

    def encoding_name_for_model(self, model: str) -> str:
        return {"gpt-4o": "o200k_base", "gpt-oss": "o200k_harmony"}[model]

    def get_encoding(self, name: str) -> SimpleNamespace:
        self.loaded.append(name)
        return SimpleNamespace(encode_ordinary=self._encode)

    def _encode(self, text: str) -> list[str]:
        self.counted.append(text)
        return text.split()


@pytest.fixture(name="tiktoken")
def _tiktoken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeTiktoken:
    """tiktoken with an empty cache; the file that it needs is made of the word `ranks`."""
    fake = FakeTiktoken()
    monkeypatch.setattr(encodings, "import_module", lambda name: fake)
    monkeypatch.setattr(encodings, "find_spec", lambda name: None)
    monkeypatch.setattr(encodings, "_FILES", {"o200k_base": ("ranks", sha256(b"ranks").hexdigest())})
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    encodings._counter.cache_clear()
    return fake


def test_an_encoding_that_is_not_here_is_never_fetched(tiktoken: FakeTiktoken) -> None:
    """tiktoken would download it; characters are counted instead."""
    assert encodings.text_counter("gpt-4o") is None
    assert tiktoken.loaded == []


def test_a_spoilt_file_is_as_good_as_none(tiktoken: FakeTiktoken, tmp_path: Path) -> None:
    """tiktoken would remove it and download it anew."""
    (tmp_path / "ranks").write_text("rank")
    assert encodings.text_counter("gpt-4o") is None
    assert tiktoken.loaded == []


def test_an_encoding_in_the_cache_counts_a_text_once(tiktoken: FakeTiktoken, tmp_path: Path) -> None:
    """System prompts come with every request."""
    (tmp_path / "ranks").write_text("ranks")
    count = encodings.text_counter("gpt-4o@west")
    assert count is not None
    assert [count("a b c"), count("a b c")] == [3, 3]
    assert tiktoken.counted == ["a b c"]


def test_an_encoding_that_a_package_ships_is_used(
    tiktoken: FakeTiktoken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LiteLLM brings the files; its folder is not imported for that."""
    shipped = tmp_path / "litellm" / "litellm_core_utils" / "tokenizers"
    shipped.mkdir(parents=True)
    (shipped / "ranks").write_text("ranks")
    found = SimpleNamespace(submodule_search_locations=[str(tmp_path / "litellm")])
    monkeypatch.setattr(encodings, "find_spec", lambda name: found)
    assert encodings.folder_of("o200k_base") == shipped
    assert encodings.text_counter("gpt-4o") is not None


@pytest.mark.parametrize("deployment", ["chat", "gpt-oss"])
def test_what_model_a_deployment_runs_may_be_unknown(tiktoken: FakeTiktoken, deployment: str) -> None:
    """A name that says nothing, or an encoding whose file is not known, leaves characters to count."""
    assert encodings.text_counter(deployment) is None


async def test_no_limiter_grants_at_once_and_forgets() -> None:
    """Its permits can do all that permits do, as often as one likes."""
    limiter = NoLimiter()
    permit = await limiter.acquire(Charge(10**9))
    permit.sent()
    permit.throttled(Throttling(3.0))
    permit.refund()
    await limiter.drain()
    await limiter.acquire(Charge(1))
