"""Where everything lies: one function per kind of blob. See ARCHITECTURE.md, "Storage layout"."""

from urllib.parse import quote, unquote

from assay.storage.bundle_names import SUITE_FILE

INBOX, SUITES, RUNS, QUARANTINE, BUNDLES, QUOTA = "inbox", "suites", "runs", "quarantine", "bundles", "quota"
AUDIT = "audit"
CACHE = "cache"

TRIALS_QUEUE, INGEST_QUEUE = "trials", "ingest"


def quota_of(deployment: str) -> str:
    """The name under which the quota of a deployment lies: `endpoint/name` for what suites call `name@endpoint`.

    A name of several parts, such as `meta-llama/Llama-3.1-8B`, becomes one part; percent signs would be read as more.
    """
    name, _, endpoint = deployment.partition("@")
    part = quote(name, safe="").replace("%", "=")
    return f"{endpoint}/{part}" if endpoint else part


def deployment_of(quota: str) -> str:
    """What suites call the deployment whose quota lies under this name."""
    endpoint, _, part = quota.rpartition("/")
    name = unquote(part.replace("=", "%"))
    return f"{name}@{endpoint}" if endpoint else name


def dropped(suite: str, file: str) -> str:
    return f"{INBOX}/{suite}/{file}"


def suite_file(suite: str) -> str:
    return f"{SUITES}/{suite}/{SUITE_FILE}"


def header(run: str) -> str:
    return f"{RUNS}/{run}/run.json"


def rows(run: str) -> str:
    return f"{RUNS}/{run}/rows.jsonl"


def query(run: str) -> str:
    """Which result of its query a run stands on; written once."""
    return f"{RUNS}/{run}/query.json"


def query_result(run: str, digest: str) -> str:
    """What the query of a run gave, by the digest of the content."""
    return f"{RUNS}/{run}/query/{digest}.jsonl"


def plan(run: str) -> str:
    return f"{RUNS}/{run}/plan.json"


def progress(run: str) -> str:
    return f"{RUNS}/{run}/progress.json"


def budget(run: str) -> str:
    """The account of a run's budget."""
    return f"{RUNS}/{run}/budget.json"


def stop(run: str) -> str:
    """Why a run was stopped; there until it is resumed."""
    return f"{RUNS}/{run}/stop.json"


def control(run: str) -> str:
    """Which experiments early stop has settled."""
    return f"{RUNS}/{run}/control.json"


def early_stop(run: str) -> str:
    """What early stop has counted of a run so far; made anew from the outcomes when it is missing."""
    return f"{RUNS}/{run}/early_stop.json"


def outcomes(run: str) -> str:
    """The prefix of all outcomes of a run."""
    return f"{RUNS}/{run}/outcomes/"


def outcome(run: str, experiment: str, chunk: int) -> str:
    return f"{RUNS}/{run}/outcomes/{experiment}/{chunk:06d}.jsonl"


def checkpoint(run: str, experiment: str, chunk: int) -> str:
    return f"{RUNS}/{run}/checkpoints/{experiment}/{chunk:06d}.jsonl"


def checkpoints(run: str) -> str:
    """The prefix of the checkpoints of chunks under way."""
    return f"{RUNS}/{run}/checkpoints/"


def bad_rows(run: str) -> str:
    return f"{RUNS}/{run}/quarantine/rows.jsonl"


def run_messages(run: str) -> str:
    """The prefix of the messages of a run that were set aside."""
    return f"{RUNS}/{run}/quarantine/messages/"


def refused_file(suite: str, file: str, digest: str) -> str:
    return f"{QUARANTINE}/files/{suite}/{file}/{digest}.json"


def refused_message(digest: str) -> str:
    return f"{QUARANTINE}/messages/{digest}.json"


def bundle(run: str) -> str:
    """The prefix of a run's bundle before it is published."""
    return f"{RUNS}/{run}/bundle/"


def view(run: str, name: str) -> str:
    """The prefix of a redacted view of a run's bundle."""
    return f"{RUNS}/{run}/views/{name}/"


def view_key(run: str) -> str:
    """What values are hashed with in the run's views; it is published nowhere."""
    return f"{RUNS}/{run}/views.key"


def published(run: str) -> str:
    """The prefix under which the blob sink publishes a bundle."""
    return f"{BUNDLES}/{run}/"


def archived(run: str) -> str:
    """A published bundle as one zip."""
    return f"{BUNDLES}/{run}.zip"


def receipts(run: str) -> str:
    """The prefix of what sinks answered."""
    return f"{RUNS}/{run}/receipts/"


def receipt(run: str, sink: str) -> str:
    """What came of publishing at a sink: its receipt, or its problem."""
    return f"{RUNS}/{run}/receipts/{sink}.json"


def audit_journal(run: str, worker: str, number: int) -> str:
    """One worker's audit records of a run; the next number begins when a journal is full."""
    return f"{AUDIT}/{run}/{worker}-{number}.jsonl"


def cached_answer(key: str) -> str:
    """An answer by the digest of its question; the folders keep listings by a part of the keys possible."""
    return f"{CACHE}/{key[:2]}/{key}.json"
