"""Template, code and docs/azure.md agree: settings both ways, names of containers and queues, rights, probes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from infra_check import ROOT
from infra_checks.bicep import Bicep, Declaration, arguments, at, items, literal, properties, source, walk
from infra_checks.secrets import NO_SECRETS, check_settings, settings_of

from assay.settings import _SECRET_VARIABLES, Settings
from assay.storage import layout

INFRA = ROOT / "infra"
PAGE = (ROOT / "docs" / "azure.md").read_text(encoding="utf-8")
HOST = json.loads((ROOT / "function_app" / "host.json").read_text(encoding="utf-8"))
DEAD_LETTERS = "dead-letters"
LOCAL_ONLY = {"ASSAY_HOME", "PYTHON_THREADPOOL_THREAD_COUNT"}
"""What only the local stack reads."""


def bicep(name: str) -> Bicep:
    return Bicep.read(INFRA / name, Path(name))


def table(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading of the page, without backticks."""
    lines = PAGE[PAGE.index(f"{heading}\n") :].splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith("|"))
    rows = []
    for line in lines[begin + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().strip("`") for cell in line.strip("|").split("|")])
    return rows


def aliases() -> set[str]:
    """The variables that the code reads."""
    return {str(field.validation_alias) for field in Settings.model_fields.values()}


def given() -> dict[str, str]:
    return settings_of(bicep("modules/app.bicep"))


def test_every_setting_of_the_template_is_explained_and_no_other() -> None:
    """The page's first table is the template's table."""
    assert sorted(row[0] for row in table("### Settings that are set")) == sorted(given())


def test_every_setting_that_is_set_is_read() -> None:
    """By Assay, or by the Functions host, whose settings are of a few known kinds."""
    functions = "|".join(re.findall(r"async def (\w+)\(", _triggers()))
    of_host = re.compile(
        rf"AzureWebJobsStorage__\w+|AzureFunctionsJobHost__\w+|AzureWebJobs_({functions})_Disabled|AzureFunctionsWebHost__hostid"
        r"|FUNCTIONS_\w+|WEBSITE_HOSTNAME|DURABLE_TASK_SCHEDULER_CONNECTION_STRING"
    )
    readers = {row[0]: row[1] for row in table("### Settings that are set")}

    assert {name for name, reader in readers.items() if reader == "Assay"} <= aliases()
    assert all(of_host.fullmatch(name) for name, reader in readers.items() if reader != "Assay")
    assert set(readers.values()) == {"Assay", "Functions host"}


def test_every_setting_that_is_read_is_set_or_explained() -> None:
    """A variable that the code reads is in one of the page's two tables, and in one only."""
    left_out = {row[0] for row in table("### Settings that are left out")}

    assert left_out == aliases() - set(given())


def test_nothing_but_the_settings_reads_the_environment() -> None:
    """Otherwise the comparison above would miss a variable."""
    sources = [
        path.read_text(encoding="utf-8")
        for path in [*(ROOT / "shared").rglob("*.py"), *(ROOT / "function_app").rglob("*.py")]
    ]
    named = {name for text in sources for name in re.findall(r"(?:environ(?:\.get\(|\[)|getenv\()\s*\"(\w+)\"", text)}

    assert named <= LOCAL_ONLY | aliases()


def test_the_host_has_its_storage_and_the_triggers_theirs_by_identity() -> None:
    """Each connection that a trigger names has addresses and a credential, and no connection string."""
    connections = {"AzureWebJobsStorage", *re.findall(r"connection=\"(\w+)\"", _triggers())}

    for connection in connections:
        assert {
            f"{connection}__{part}" for part in ("blobServiceUri", "queueServiceUri", "credential", "clientId")
        } <= set(given())
        assert connection not in given()


def test_the_host_is_told_the_address_that_it_has() -> None:
    """Container Apps puts `internal` into the address of an app that is not reached from outside its environment."""
    assert given()["WEBSITE_HOSTNAME"] == "'${name}${ingressExternal ? '' : '.internal'}.${environmentDomain}'"


def test_overrides_of_host_json_override_what_is_there() -> None:
    """`AzureFunctionsJobHost__a__b` overrides a.b; a misspelt path would override nothing, silently."""
    overridden = [name.split("__")[1:] for name in given() if name.startswith("AzureFunctionsJobHost__")]

    known = {"type", "connectionStringName"}  # of the provider, beside what host.json says of it
    for path in overridden:
        section = HOST
        for name in path[:-1]:
            section = section[name]
        assert path[-1] in section or (path[-2] == "storageProvider" and path[-1] in known)
    assert len(overridden) == 3


def test_no_secret_is_set() -> None:
    """None of the variables that the code takes for secrets, but those that hold addresses."""
    assert list(check_settings(bicep("modules/app.bicep"), _SECRET_VARIABLES)) == []
    assert set(given()) >= NO_SECRETS


@pytest.mark.parametrize("name", sorted(_SECRET_VARIABLES - NO_SECRETS))
def test_a_secret_that_is_set_is_found(name: str) -> None:
    """The rule above can fail for each of them."""
    file = Bicep(Path("app.bicep"), f"var settings = {{\n  {name}: 'x'\n}}\n")
    assert len(list(check_settings(file, _SECRET_VARIABLES))) == 1


def test_containers_and_queues_are_those_of_the_code() -> None:
    """With a poison queue beside each queue, and a container for what Event Grid cannot deliver."""
    file = bicep("modules/storage-contents.bicep")
    names = {one.name: literal(one.value) for one in file.of("variable")}
    queues = [layout.TRIALS_QUEUE, layout.INGEST_QUEUE]

    assert set(names["containerNames"]) == {
        *(layout.INBOX, layout.SUITES, layout.RUNS, layout.QUARANTINE, layout.BUNDLES),
        *(layout.QUOTA, layout.AUDIT, layout.CACHE),
        DEAD_LETTERS,
    }
    assert set(names["queueNames"]) == {*queues, *(f"{queue}-poison" for queue in queues)}


def test_events_lead_from_the_inbox_to_the_queue_that_ingest_reads() -> None:
    """The subject's beginning names the container, so that no other blob starts a run."""
    made = bicep("modules/events-subscription.bicep").of("resource")[-1].body

    assert literal(at(made, "properties", "filter", "subjectBeginsWith")) == (
        f"/blobServices/default/containers/{layout.INBOX}/blobs/"
    )
    destination = at(made, "properties", "deliveryWithResourceIdentity", "destination", "properties", "queueName")
    assert literal(destination) == layout.INGEST_QUEUE


def test_events_that_cannot_be_delivered_are_kept_where_nothing_starts_a_run() -> None:
    """In a container of their own, which the topic's identity may write to."""
    made = bicep("modules/events-subscription.bicep").of("resource")[-1].body
    kept = at(made, "properties", "deadLetterWithResourceIdentity", "deadLetterDestination", "properties")
    roles = bicep("main.bicep").named("module", "deadLettersRoles")

    assert literal(at(kept, "blobContainerName")) == DEAD_LETTERS != layout.INBOX
    assert roles and source(at(roles.body, "params", "resourceName")) == f"'${{storageName}}/{DEAD_LETTERS}'"


def test_rights_are_there_before_what_needs_them() -> None:
    """Event Grid and the app ask for their rights at once, and a right needs minutes to hold."""
    main = bicep("main.bicep")
    given = {
        one.name: source(at(one.body, "params", "principals"))
        for one in main.of("module")
        if one.text == "modules/roles.bicep"
    }

    for name, who in (("eventsSubscription", "events"), ("containerApp", "app")):
        waiting = main.named("module", name)
        waits = {source(one) for one in items(at(waiting.body, "dependsOn"))} if waiting else set()
        assert {roles for roles, whom in given.items() if re.search(rf"\b{who}\b", whom)} <= waits
    assert source(at(_module(main, "keyVaultRoles").body, "dependsOn")) == "[keyVaultContents]"


def test_names_fit_what_azure_allows() -> None:
    """With the longest `name`, the longest name of an account, and the 13 characters of `uniqueString`."""
    main = bicep("main.bicep")
    longest = {"name": 7, "token": 13, "account.name": 12, "one.name": 12}
    patterns = {
        "storageAccounts": (24, r"storageAccounts/(st[^']+)'"),
        "vaults": (24, r"vaults/(kv[^']+)'"),
        "registries": (50, r"registries/(cr[^']+)'"),
        "accounts": (64, r"CognitiveServices/accounts/(oai[^']+)'"),
        "containerApps": (32, r"'(ca-[^']+)'"),
        "managedEnvironments": (60, r"'(cae-[^']+)'"),
        "systemTopics": (50, r"'(evgt-[^']+)'"),
        "deployments": (64, r"name: '(roles-openai-[^']+)'"),
    }
    for kind, (limit, pattern) in patterns.items():
        written = re.search(pattern, main.text)
        assert written, kind
        assert len(re.sub(r"\$\{([\w.]+)\}", lambda part: "x" * longest[part[1]], written[1])) <= limit, kind
    parameter = main.named("parameter", "name")
    assert parameter and literal(arguments(parameter.decorators["maxLength"])[0]) == longest["name"]
    assert "@maxLength(12)\n  name: string" in bicep("modules/types.bicep").text


def test_the_app_scales_by_the_queues_that_triggers_read() -> None:
    """With the identity, and for as many messages as a replica takes at once."""
    rules = bicep("modules/app.bicep").named("variable", "rules")
    assert rules
    queues = {literal(at(rule, "azureQueue", "queueName")) for rule in items(rules.value)}
    messages = bicep("main.bicep").named("parameter", "messagesPerReplica")

    assert queues == {layout.TRIALS_QUEUE, layout.INGEST_QUEUE}
    assert all(source(at(rule, "azureQueue", "identity")) == "identityId" for rule in items(rules.value))
    assert messages and literal(messages.value) == HOST["extensions"]["queues"]["batchSize"]


def test_probes_ask_what_the_app_answers_on_the_port_of_the_image() -> None:
    """The host's ping, the app's own health route, and the port of the Dockerfile."""
    text = bicep("modules/app.bicep").text
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    ports = set(re.findall(r"(?:targetPort|port): (\d+)", text))
    prefix, route = HOST["extensions"]["http"]["routePrefix"], re.search(r'route="(health)"', _triggers())

    assert ports == set(re.findall(r"^EXPOSE (\d+)", dockerfile, re.MULTILINE))
    assert route and f"'/{prefix}/{route[1]}'" in text
    assert text.count("'/admin/host/ping'") == 2


def test_the_app_never_scales_to_nothing() -> None:
    """Nobody would wake the orchestrations."""
    for name in ("main.bicep", "modules/app.bicep"):
        parameter = bicep(name).named("parameter", "minReplicas")
        assert parameter and literal(arguments(parameter.decorators["minValue"])[0]) == 1


def test_the_page_names_every_parameter_with_its_default() -> None:
    """Several that belong together may share a row."""
    rows = table("## Parameters")
    named = [name for row in rows for name in re.findall(r"\w+", row[0])]

    assert sorted(named) == sorted(one.name for one in bicep("main.bicep").of("parameter"))


def test_the_page_shows_every_right() -> None:
    """The table of roles.bicep, row by row."""
    rights = bicep("modules/roles.bicep").named("variable", "table")
    assert rights
    rows = [[literal(at(row, key)) for key in ("on", "who", "role")] for row in items(rights.value)]

    assert table("## Who may do what") == rows


def test_the_page_names_every_module() -> None:
    """types.bicep creates nothing."""
    modules = {path.name for path in (INFRA / "modules").glob("*.bicep")} - {"types.bicep"}

    assert set(re.findall(r"\(\.\./infra/modules/([\w-]+\.bicep)\)", PAGE)) == modules


def test_the_samples_on_the_page_parse() -> None:
    """And name only keys of the declared types."""
    types = bicep("modules/types.bicep")
    known = {name for one in types.of("type") for name in properties(one.body)} | {"openAiAccounts"}
    for block in re.findall(r"```bicep\n(.*?)```", PAGE, re.DOTALL):
        sample = Bicep(Path("azure.md"), re.sub(r"^param (\w+) =", r"var \1 =", block, flags=re.MULTILINE))
        keys = {source(node.named_children[0]) for node in walk(sample.root) if node.type == "object_property"}
        assert not sample.root.has_error and keys <= known


def _module(file: Bicep, name: str) -> Declaration:
    found = file.named("module", name)
    assert found
    return found


def _triggers() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "function_app" / "triggers").glob("*.py"))
