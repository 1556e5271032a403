"""DSPy over a program's model: the only module of Assay that imports DSPy. Users' programs import `AssayLM`.

DSPy's own cache, retries and history stay out: questions take the way that all of a run's questions take.
"""

import asyncio
import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, cast

import dspy
from dspy import lm15

from assay.errors import ModelUnavailable
from assay.programs.model import Answer, AsyncModel, BadCall, Model, Options
from assay.reasoning import ReasoningEffort

COLUMNS = "columns"
"""Attribute of a module: which column of the row each of its inputs is taken from, where the names differ."""

_OPTIONS = ("max_tokens", "temperature", "seed")
_TAKEN = {*_OPTIONS, "reasoning", "stop", "response_format"}
_PREFIX = "assay/"  # So that DSPy knows no rules of its own for the name.


class AssayLM(dspy.LM):  # type: ignore[misc]
    """A language model of DSPy that asks the model of a program, for `dspy.context(lm=AssayLM(model))`.

    Temperature and longest answer are the experiment's unless DSPy is told others. Made from the model of an
    `async def` it serves `acall` alone, from that of a plain function both.
    """

    def __init__(self, model: Model | AsyncModel) -> None:
        engine, async_engine = _Engine(model), _AsyncEngine(model)
        super().__init__(
            _PREFIX + model.deployment, cache=False, num_retries=0, engine=engine, async_engine=async_engine
        )

    @property
    def supports_function_calling(self) -> bool:
        return False

    @property
    def supports_reasoning(self) -> bool:
        return False

    @property
    def supports_response_schema(self) -> bool:
        return True

    @property
    def supported_params(self) -> set[str]:
        return set(_TAKEN)

    def update_history(self, entry: Any) -> None:
        """Keeps nothing: the outcomes of the run do, and a worker would keep the prompts of thousands of rows."""


class _Engine:
    def __init__(self, model: Model | AsyncModel) -> None:
        self._model = model

    def complete(self, request: lm15.Request) -> lm15.Response:
        """One answer. Raises what the model raises, and an error of DSPy for what cannot be asked."""
        if _is_async(self._model):
            raise lm15.UnsupportedFeatureError("the model of an 'async def' cannot be asked without await; use acall")
        model, messages, options = cast(Model, self._model), _messages(request), _options(request)
        try:
            return _response(model.call(messages, **options))
        except BadCall:
            if "schema" not in options:
                raise
            return _response(model.call(messages, **_without_schema(options)))
        except ModelUnavailable as error:
            raise _known(error) from error


class _AsyncEngine:
    def __init__(self, model: Model | AsyncModel) -> None:
        self._model = model

    async def complete(self, request: lm15.Request) -> lm15.Response:
        """The same, awaited."""
        if not _is_async(self._model):
            return await asyncio.to_thread(_Engine(self._model).complete, request)
        model, messages, options = cast(AsyncModel, self._model), _messages(request), _options(request)
        try:
            return _response(await model.call(messages, **options))
        except BadCall:
            if "schema" not in options:
                raise
            return _response(await model.call(messages, **_without_schema(options)))
        except ModelUnavailable as error:
            raise _known(error) from error


def _is_async(model: Model | AsyncModel) -> bool:
    return inspect.iscoroutinefunction(model.call)


def _known(error: ModelUnavailable) -> Exception:
    """An error that DSPy's modules know what to do about, where they do."""
    kind = getattr(getattr(error, "last", None), "kind", None)
    return lm15.ContextLengthError(str(error)) if kind == "context_length" else error


def _messages(request: lm15.Request) -> list[dict[str, str]]:
    if request.tools:
        raise lm15.UnsupportedFeatureError("Assay's model takes no tools of the service", feature="tools")
    system = request.system
    opening = [] if system is None else [{"role": "system", "content": _text(system)}]
    return [*opening, *({"role": _role(one.role), "content": _text(one.parts)} for one in request.messages)]


def _role(role: str) -> str:
    return "system" if role == "developer" else role


def _text(parts: Any) -> str:
    if isinstance(parts, str):
        return parts
    for part in parts:
        if not isinstance(part, lm15.TextPart):
            raise lm15.UnsupportedFeatureError(f"Assay's model takes text only; found {type(part).__name__}")
    return "\n".join(part.text for part in parts)


def _options(request: lm15.Request) -> Options:
    config = request.config
    said = {one.name for one in fields(config) if getattr(config, one.name)}
    if unknown := sorted(said - _TAKEN):
        raise lm15.UnsupportedFeatureError(f"Assay's model does not take {', '.join(unknown)}", feature=unknown[0])
    options = cast(Options, {name: getattr(config, name) for name in _OPTIONS})
    if config.stop:
        options["stop"] = list(config.stop)
    if config.reasoning:
        options["reasoning_effort"] = _effort(config.reasoning)
    return cast(Options, {**options, **_format(config.response_format or {})})


def _effort(reasoning: lm15.Reasoning) -> ReasoningEffort:
    if reasoning.thinking_budget is not None or reasoning.summary is not None:
        raise lm15.UnsupportedFeatureError("Assay's model takes an effort, and shows no thoughts", feature="reasoning")
    return cast(ReasoningEffort, "none" if reasoning.is_off else reasoning.effort)


def _format(response_format: Mapping[str, Any]) -> Options:
    if response_format.get("type") == "json_schema":
        found = response_format.get("json_schema", response_format)
        return {"schema": found["schema"]}
    return {"json": bool(response_format)}  # DSPy's own formats are no JSON, whatever the suite asks of prompts


def _without_schema(options: Options) -> Options:
    """A schema that strict structured outputs do not take: any JSON object, which DSPy checks itself."""
    return cast(Options, {**options, "schema": None, "json": True})


def _response(answer: Answer) -> lm15.Response:
    return lm15.Response(
        id=None,
        model=answer.model,
        message=lm15.Message.assistant(answer.text),
        finish_reason="length" if answer.finish_reason == "length" else "stop",
        usage=lm15.Usage(input_tokens=answer.input_tokens, output_tokens=answer.output_tokens),
    )


def as_program(found: Any) -> Callable[[Mapping[str, Any], Any], Any]:
    """A module of DSPy, or its class, as a program: its inputs are the columns of their names, or as `columns` says.

    A class is made once. Raises what its constructor raises, and TypeError for a module without `forward`.
    """
    module: Any = found() if inspect.isclass(found) else found
    kind: Any = type(module)
    if not (hasattr(kind, "forward") or hasattr(kind, "aforward")):
        raise TypeError(f"{kind.__name__} has no forward")

    def program(row: Mapping[str, Any], model: Model) -> Any:
        with dspy.context(lm=AssayLM(model)):
            return module(**inputs_of(module, row))

    async def async_program(row: Mapping[str, Any], model: AsyncModel) -> Any:
        with dspy.context(lm=AssayLM(model)):
            return await module.acall(**inputs_of(module, row))

    return program if hasattr(kind, "forward") else async_program


def inputs_of(module: Any, row: Mapping[str, Any]) -> dict[str, Any]:
    """What a module takes of a row. Raises BadCall for what it needs and the row does not have."""
    columns: Mapping[str, str] = getattr(module, COLUMNS, {})
    found: dict[str, Any] = {}
    for name, is_needed in _parameters(module, row):
        column = columns.get(name, name)
        if column in row:
            found[name] = row[column]
        elif is_needed:
            has = ", ".join(map(str, row))
            said = f"{type(module).__name__} takes '{name}' from the column '{column}'; the row has: {has}"
            raise BadCall(said[:500])
    return found


def _parameters(module: Any, row: Mapping[str, Any]) -> list[tuple[str, bool]]:
    """The names of its inputs, and whether each has to be given."""
    kind = type(module)  # of the class: DSPy logs a warning when an object's `forward` is only looked at
    forward = kind.forward if hasattr(kind, "forward") else kind.aforward
    _, *parameters = inspect.signature(forward).parameters.values()
    if all(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters):
        signature = getattr(module, "signature", None) or getattr(getattr(module, "predict", None), "signature", None)
        return [(name, True) for name in signature.input_fields] if signature else [(name, True) for name in row]
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [(one.name, one.default is inspect.Parameter.empty) for one in parameters if one.kind in by_name]
