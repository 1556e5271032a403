"""How a decorated app is read."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import azure.durable_functions as df
import azure.functions as func
import pytest
from function_bench import functions_of, only_function

from assay.errors import UserError
from assay.local.functions import load_functions

SAMPLE_APP = Path(__file__).resolve().parents[2] / "fixtures" / "sample_app"


@pytest.fixture
def clean_imports() -> Iterator[None]:
    path = list(sys.path)
    yield
    sys.path[:] = path
    sys.modules.pop("function_app", None)


@pytest.mark.usefixtures("clean_imports")
def test_the_sample_app_is_read_with_all_its_triggers() -> None:
    """Name and kind of every function, with app settings put in."""
    functions = {each.name: each for each in load_functions(SAMPLE_APP, {"SAMPLE": "s1"})}

    assert {name: each.trigger.kind for name, each in functions.items()} == {
        "take_drop": "blobTrigger",
        "batch": "orchestrationTrigger",
        "enqueue": "activityTrigger",
        "count": "activityTrigger",
        "total": "activityTrigger",
        "square": "queueTrigger",
        "bury": "queueTrigger",
        "shout": "queueTrigger",
        "show_run": "httpTrigger",
        "echo": "httpTrigger",
        "broken": "httpTrigger",
        "tick": "timerTrigger",
    }
    assert functions["take_drop"].trigger.options["path"] == "s1-drops/{run}/{name}"
    assert [each.name for each in functions["square"].bound_as("durableClient")] == ["client"]
    assert functions["shout"].bound_as("queue")[0].options["queueName"] == "s1-shouts"


def test_a_setting_that_is_not_there_is_named() -> None:
    """With the function that needs it."""
    app = func.FunctionApp()

    @app.queue_trigger(arg_name="msg", queue_name="%NOT_SET%", connection="S")
    def work(msg: func.QueueMessage) -> None: ...

    with pytest.raises(UserError, match=r"Function 'work' uses %NOT_SET%, but the environment has no 'NOT_SET'"):
        only_function(app)


def test_a_trigger_that_the_local_host_does_not_have_is_refused() -> None:
    """At the start, not when the first event would have come."""
    app = func.FunctionApp()

    @app.event_grid_trigger(arg_name="event")
    def work(event: func.EventGridEvent) -> None: ...

    with pytest.raises(UserError, match=r"Function 'work' uses eventGridTrigger, which the local host does not have"):
        only_function(app)


@pytest.mark.parametrize(
    "setting", ["AzureWebJobs.work.Disabled", "AzureWebJobs_work_Disabled", "AzureWebJobs__work__Disabled"]
)
def test_an_app_setting_turns_a_function_off(setting: str) -> None:
    """All spellings of Azure."""
    app = df.DFApp()

    @app.activity_trigger(input_name="value")
    def work(value: int) -> int:
        return value

    assert functions_of(app, **{setting: "true"}) == {}


def test_a_folder_without_an_app_is_refused(tmp_path: Path) -> None:
    """With what to give."""
    with pytest.raises(UserError, match=r"holds no function_app\.py\. Give the folder of the function app with --app"):
        load_functions(tmp_path, {})


@pytest.mark.usefixtures("clean_imports")
def test_two_apps_in_one_module_are_refused(tmp_path: Path) -> None:
    """As by the Functions worker."""
    source = "import azure.functions as func\na = func.FunctionApp()\nb = func.FunctionApp()\n"
    (tmp_path / "function_app.py").write_text(source)

    with pytest.raises(UserError, match="found 2 function app objects; expected exactly one"):
        load_functions(tmp_path, {})
