"""The Azure DevOps sink against a stand-in with real Git objects, which validates bodies by the documented shapes."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import httpx2
import pytest
from git_publishing import GitPublishing

from assay.errors import ServiceError, UserError
from assay.provenance.bundle import seal_folder
from assay.sinks.base import Bundle
from assay.sinks.devops import sink as devops
from assay.sinks.devops.access import IdentityAccess, PersonalAccess
from assay.sinks.devops.api import explain, is_sign_in
from assay.sinks.devops.sink import AzureDevOpsSink
from assay.sinks.http import HttpService
from assay.suite.sink_options import AzureDevOpsOptions
from assay.telemetry import LogTelemetry
from stand_ins.azure_devops import TOKEN, AzureDevOps
from stand_ins.git_host import once, refusal
from stand_ins.git_store import GitStore
from stand_ins.sealed import SIGNER, STATEMENT, sealed_bundle

OPTIONS = {"organization": "acme", "project": "Lab work", "repository": "results"}


@pytest.fixture
async def bundle(tmp_path: Path) -> Bundle:
    return await sealed_bundle(tmp_path / "bundle")


@pytest.fixture
def service(tmp_path: Path) -> AzureDevOps:
    return AzureDevOps.at(tmp_path / "devops.git")


async def token() -> str:
    return TOKEN


def sink_of(
    transport: httpx2.AsyncBaseTransport, slept: list[float] | None = None, access: object = None, **options: object
) -> AzureDevOpsSink:
    async def sleep(seconds: float) -> None:
        (slept if slept is not None else []).append(seconds)

    http = HttpService(
        "Azure DevOps",
        "https://dev.azure.com/acme",
        access or PersonalAccess(token),
        LogTelemetry(),
        explain=explain,
        is_no_answer=is_sign_in,
        sleep=sleep,
        transport=transport,
    )
    return AzureDevOpsSink(AzureDevOpsOptions.model_validate({**OPTIONS, **options}), http)


class TestPublishing(GitPublishing):
    host_type = AzureDevOps
    sink_of = staticmethod(sink_of)
    merged: ClassVar = {"status": "completed"}

    async def test_a_pull_request_shows_the_summary(self, service, bundle) -> None:
        """Cut to what Azure DevOps takes."""
        await sink_of(service, labels=("evaluation",)).publish(
            Bundle(bundle.run, bundle.suite, bundle.folder, "long " * 2_000)
        )
        (pull,) = service.pulls
        assert (pull["title"], pull["labels"]) == ("Results of triage (triage-1)", ["evaluation"])
        assert len(pull["description"]) <= 4000 and bundle.manifest_sha256 in pull["description"]

    async def test_a_new_report_of_the_run_edits_adds_and_deletes(self, service, bundle) -> None:
        """As one more commit on the branch."""
        await sink_of(service).publish(bundle)
        (bundle.folder / "report.md").write_bytes(b"# Better words\n")
        (bundle.folder / "more.txt").write_bytes(b"more")
        (bundle.folder / "plots/box.png").unlink()
        await seal_folder(bundle.folder, STATEMENT, SIGNER)
        await sink_of(service).publish(Bundle("triage-1", "triage", bundle.folder, "## words"))
        files = service.store.files("assay/triage-1")
        assert "assay/triage/triage-1/plots/box.png" not in files
        assert files["assay/triage/triage-1/more.txt"] == b"more"
        assert len(service.store.log("assay/triage-1")) == 3 and service.pulls[0]["description"].startswith("## words")

    async def test_what_no_request_can_hold_goes_in_several(self, service, bundle, monkeypatch) -> None:
        """The manifest last: whoever sees it sees the whole bundle."""
        monkeypatch.setattr(devops, "_MOST_BYTES_PER_PUSH", 300)
        await sink_of(service).publish(bundle)
        *earlier, last = service.store.log("assay/triage-1")[::-1][1:]
        name = "assay/triage/triage-1/manifest.json"
        assert earlier and all(name not in service.store.files(one) for one in earlier)
        assert name in service.store.files(last)

    @pytest.mark.parametrize("bytes_per_push", [10_000_000, 600])
    async def test_death_at_any_request_leaves_what_the_next_try_completes(
        self, tmp_path, bundle, monkeypatch, bytes_per_push
    ) -> None:
        """Also of a bundle that no request can hold."""
        monkeypatch.setattr(devops, "_MOST_BYTES_PER_PUSH", bytes_per_push)
        await super().test_death_at_any_request_leaves_what_the_next_try_completes(tmp_path, bundle)

    async def test_another_publisher_at_the_same_time_is_found(self, service, bundle) -> None:
        """A push upon a tip that moved is refused, and what is there is looked at again."""
        service.faults.append(once("POST", refusal(409, "TF401028")))
        await sink_of(service).publish(bundle)
        assert len(service.pulls) == 1 and len(service.store.log("assay/triage-1")) == 2


class TestRefusals:
    @pytest.mark.parametrize(
        ("status", "words"),
        [(401, "add it there"), (403, "needs Contribute"), (404, "may not see it"), (413, "largest_file_mb")],
    )
    async def test_a_refusal_says_what_to_do(self, service, bundle, status, words) -> None:
        """And never holds the token."""
        service.faults.append(once("GET", refusal(status, "TF0: No.")))
        with pytest.raises(UserError, match=words) as caught:
            await sink_of(service).publish(bundle)
        assert TOKEN not in str(caught.value)

    async def test_the_sign_in_page_is_no_success(self, service, bundle) -> None:
        """Azure DevOps answers 203 with a page to those it does not know."""
        with pytest.raises(UserError, match=r"HTTP 203.*does not know the identity"):
            await sink_of(service, access=IdentityAccess(token)).publish(bundle)

    async def test_an_empty_repository_is_named(self, tmp_path, bundle) -> None:
        """There is nothing to branch from."""
        with pytest.raises(ServiceError, match="acme/Lab work/results is empty"):
            await sink_of(AzureDevOps(GitStore(tmp_path / "empty.git"))).publish(bundle)

    async def test_busy_is_waited_for(self, service, bundle) -> None:
        """As long as Retry-After says."""
        slept: list[float] = []
        service.faults.append(once("POST", refusal(429, "TF400733: delayed", {"retry-after": "11"})))
        await sink_of(service, slept).publish(bundle)
        assert slept == [11.0] and len(service.pulls) == 1

    async def test_an_identity_asks_as_bearer(self, service, bundle) -> None:
        """With the token for Azure DevOps."""
        service.authorization = f"Bearer {TOKEN}"
        assert (await sink_of(service, access=IdentityAccess(token)).publish(bundle)).files == 8
