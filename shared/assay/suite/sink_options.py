"""What suites may say of sinks: where a sealed bundle is published. `sinks/` has what does it."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from assay.registry import Plugin, Registry
from assay.suite.levels import Level
from assay.suite.redacted_views import ViewName
from assay.suite.strict import Strict

NAME = r"^[a-z0-9][a-z0-9-]{0,39}$"
REPOSITORY = r"^[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}$"
ORGANIZATION = r"^[A-Za-z0-9][A-Za-z0-9-]{0,49}$"
PROJECT = r"^[A-Za-z0-9_][A-Za-z0-9._ -]{0,63}$"
BASE = r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,199}$"
BRANCH = r"^([A-Za-z0-9]|\{run\}|\{suite\})([A-Za-z0-9._/-]|\{run\}|\{suite\}){0,199}$"
FOLDER = r"^([A-Za-z0-9]|\{run\}|\{suite\})([A-Za-z0-9._/ -]|\{run\}|\{suite\}){0,199}$"

IDENTIFIER = r"^[A-Za-z_][A-Za-z0-9_]{0,39}$"

SINK_RULES = {
    NAME: "1 to 40 lower-case letters, digits and dashes, with no dash at the start",
    REPOSITORY: "owner/name",
    BASE: "letters, digits, '.', '_', '-' and '/', with a letter or digit at the start",
    BRANCH: "letters, digits, '.', '_', '-', '/', {run} and {suite}, with a letter or digit at the start",
    FOLDER: "letters, digits, spaces, '.', '_', '-', '/', {run} and {suite}, with a letter or digit at the start",
    IDENTIFIER: "1 to 40 letters, digits and underscores, with no digit at the start",
}
"""What the patterns ask for, in words."""

Identifier = Annotated[str, StringConstraints(pattern=IDENTIFIER)]
SinkName = Annotated[str, StringConstraints(pattern=NAME)]
Branch = Annotated[str, StringConstraints(pattern=BRANCH)]
Folder = Annotated[str, StringConstraints(pattern=FOLDER)]


class SinkOptions(Strict):
    """Options every sink takes."""

    name: SinkName | None = Field(None, description="Names its receipts; absent: the plugin's name")
    clearance: Level = Field("internal", description="The highest level that may go there")
    view: ViewName | None = Field(None, description="View that goes there in place of the whole bundle")


class GitSinkOptions(SinkOptions):
    """Options of sinks that commit to a Git repository and ask for a review."""

    base: Annotated[str, StringConstraints(pattern=BASE)] | None = Field(
        None, description="Branch that the results are to be merged into; absent: the default"
    )
    branch: Branch = Field("assay/{run}", description="Branch of the results; {run} and {suite} are replaced")
    folder: Folder = Field("assay/{suite}/{run}", description="Folder in the repository; {run}, {suite} are replaced")
    title: str = Field("Results of {suite} ({run})", min_length=1, max_length=200)
    pull_request: bool = Field(True, description="Whether to ask for a review with a pull request")
    labels: tuple[Annotated[str, StringConstraints(min_length=1, max_length=50)], ...] = Field((), max_length=20)
    largest_file_mb: float = Field(10, gt=0, le=95, description="Larger files are replaced by a pointer with digest")


class GitHubOptions(GitSinkOptions):
    """Commits the bundle to a GitHub repository and opens a pull request with the report's summary."""

    repository: Annotated[str, StringConstraints(pattern=REPOSITORY)] = Field(description="owner/name")


class AzureDevOpsOptions(GitSinkOptions):
    """Commits the bundle to a repository of Azure DevOps and opens a pull request with the report's summary."""

    organization: Annotated[str, StringConstraints(pattern=ORGANIZATION)]
    project: Annotated[str, StringConstraints(pattern=PROJECT)]
    repository: Annotated[str, StringConstraints(pattern=PROJECT)]


class SqlOptions(SinkOptions):
    """Writes runs, experiments, metrics, comparisons and outcomes into tables of a database."""

    connection: Annotated[str, StringConstraints(pattern=NAME)] = Field(description="Name in ASSAY_CONNECTIONS")
    db_schema: Identifier | None = Field(None, alias="schema", description="The database's schema; absent: its default")
    prefix: Identifier = Field("assay_", description="What the names of the tables begin with")
    outcomes: bool = Field(True, description="Whether every trial's outcome is written too, with its answers")


class BlobOptions(SinkOptions):
    """Keeps bundles in the container `bundles` of the run's own storage account. Every run is published there."""

    clearance: Level = Field("restricted", description="The highest level that may go there")
    tier: Literal["hot", "cool", "cold"] | None = Field(None, description="Access tier; absent: as the account has it")
    archive: bool = Field(False, description="Whether the bundle lies there as a zip as well, as <run>.zip")


class FolderOptions(SinkOptions):
    """Puts bundles below the folder that ASSAY_RESULTS_FOLDER names: on this machine, or on a mounted share."""

    zip: bool = Field(False, description="Whether a bundle is one zip instead of a folder")


class ExcelOptions(SinkOptions):
    """Puts the run's workbook, and nothing else of the bundle, below the folder that ASSAY_RESULTS_FOLDER names."""


class WebhookOptions(SinkOptions):
    """Tells a chat or a CI that a run has ended: one signed POST with the headline and where the bundle is."""

    address: Annotated[str, StringConstraints(pattern=NAME)] = Field(description="Name in ASSAY_WEBHOOKS")
    format: Literal["event", "text"] = Field("event", description="An event with fields, or one text as chats take it")


def sink_name(plugin: str, options: SinkOptions) -> str:
    """What a sink is called: its own name, or the plugin's."""
    return options.name or plugin.replace("_", "-")


def _same(options: SinkOptions) -> SinkOptions:
    return options


SINKS: Registry[SinkOptions] = Registry(
    "sink",
    Plugin("blob", BlobOptions, _same),
    Plugin("folder", FolderOptions, _same),
    Plugin("excel", ExcelOptions, _same),
    Plugin("github", GitHubOptions, _same),
    Plugin("azure_devops", AzureDevOpsOptions, _same),
    Plugin("sql", SqlOptions, _same),
    Plugin("webhook", WebhookOptions, _same),
)
