"""The page of docs about the emulator tells the truth: every example loads, and every option and order is named."""

import json
import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from assay.local import emulator_orders
from assay.local.emulator_config import EmulatorFile, Region, load_emulator_config
from assay.local.emulator_deployment import Deployment, HeaderRules
from assay.local.emulator_mishaps import ContentSafety, Faults, Verdicts

PAGE = (Path(__file__).parents[3] / "docs" / "emulator.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
ORDERS = {
    "quota": emulator_orders.QuotaOrder,
    "down": emulator_orders.DownOrder,
    "faults": emulator_orders.FaultOrder,
    "refuse": emulator_orders.RefusalOrder,
    "headers": emulator_orders.HeaderOrder,
    "shield": emulator_orders.ShieldOrder,
}


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_a_whole_file(tmp_path: Path, example: str) -> None:
    """As the page says."""
    path = tmp_path / "emulator.yaml"
    path.write_text(example, encoding="utf-8")

    assert load_emulator_config([path]).scripts[0].content.model_fields_set


@pytest.mark.parametrize("model", [EmulatorFile, Region, Deployment, HeaderRules, Faults, Verdicts, ContentSafety])
def test_every_option_is_in_an_example(model: type[BaseModel]) -> None:
    """Scripted tasks, and patterns of the older spelling, are described with the samples."""
    named = set(re.findall(r"(\w+):", "\n".join(EXAMPLES)))

    assert set(model.model_fields) - named <= {"tasks", "content_filter"}


def test_every_order_is_there_with_a_body_that_it_takes() -> None:
    """The last cell of a path that is not repeated belongs to the path above."""
    bodies = re.findall(r"^\| (?:`/_emulator/(\w+)` )?\| `(\{.*?\})` \|", PAGE, re.MULTILINE)
    path, seen = "", set()
    for named, body in bodies:
        path = named or path
        ORDERS[path].model_validate(json.loads(body))
        seen.add(path)

    assert seen == set(ORDERS)
