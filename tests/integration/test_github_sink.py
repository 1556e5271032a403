"""The GitHub sink against a stand-in with real Git objects, which validates requests by GitHub's description."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import httpx2
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from git_publishing import GitPublishing
from openapi_core.exceptions import OpenAPIError

from assay.errors import NameRefused, ServiceError, UserError
from assay.provenance.bundle import seal_folder
from assay.sinks.base import Bundle
from assay.sinks.github.access import AppAccess, TokenAccess
from assay.sinks.github.api import explain, is_limited, waiting
from assay.sinks.github.sink import GitHubSink
from assay.sinks.http import HttpService
from assay.suite.sink_options import GitHubOptions
from assay.telemetry import LogTelemetry
from stand_ins.git_host import once, refusal, reply
from stand_ins.github import ADDRESS, TOKEN, GitHub, validate
from stand_ins.sealed import SIGNER, STATEMENT, sealed_bundle


@pytest.fixture
async def bundle(tmp_path: Path) -> Bundle:
    return await sealed_bundle(tmp_path / "bundle")


@pytest.fixture
def github(tmp_path: Path) -> GitHub:
    return GitHub.at(tmp_path / "github.git")


def sink_of(github: httpx2.AsyncBaseTransport, slept: list[float] | None = None, **options: object) -> GitHubSink:
    async def token() -> str:
        return TOKEN

    async def sleep(seconds: float) -> None:
        (slept if slept is not None else []).append(seconds)

    service = HttpService(
        "GitHub",
        ADDRESS,
        TokenAccess(token),
        LogTelemetry(),
        explain=explain,
        waiting=waiting,
        is_busy=is_limited,
        sleep=sleep,
        transport=github,
    )
    return GitHubSink(GitHubOptions.model_validate({"repository": "acme/results", **options}), service)


class TestPublishing(GitPublishing):
    host_type = GitHub
    sink_of = staticmethod(sink_of)
    merged: ClassVar = {"state": "closed"}

    async def test_a_pull_request_shows_the_summary(self, github, bundle) -> None:
        """With title, labels and how to check."""
        receipt = await sink_of(github, labels=("evaluation",)).publish(bundle)
        (pull,) = github.pulls
        assert (pull["title"], pull["labels"]) == ("Results of triage (triage-1)", ["evaluation"])
        assert pull["body"].startswith("## think-first is better") and "assay verify" in pull["body"]
        assert receipt.location == "https://github.com/acme/results/pull/1"

    async def test_a_new_report_of_the_run_is_a_commit_upon_the_last(self, github, bundle) -> None:
        """The same pull request shows it."""
        await sink_of(github).publish(bundle)
        (bundle.folder / "report.md").write_bytes(b"# Better words\n")
        (bundle.folder / "plots/box.png").unlink()
        await seal_folder(bundle.folder, STATEMENT, SIGNER)
        await sink_of(github).publish(Bundle("triage-1", "triage", bundle.folder, "## words"))
        assert len(github.store.log("assay/triage-1")) == 3
        assert "assay/triage/triage-1/plots/box.png" not in github.store.files("assay/triage-1")
        (pull,) = github.pulls
        assert pull["body"].startswith("## words")

    async def test_a_large_file_becomes_a_pointer(self, github, bundle) -> None:
        """With the digest by which the real one is known."""
        await sink_of(github, largest_file_mb=0.000005).publish(bundle)
        files = github.store.files("assay/triage-1")
        pointer = json.loads(files["assay/triage/triage-1/plots/box.png.pointer.json"])["pointer"]
        digests = {one.path: one.sha256 for one in bundle.manifest.artifacts}
        assert (pointer["sha256"], pointer["size"]) == (digests["plots/box.png"], 6)
        assert "assay/triage/triage-1/manifest.json" in files

    async def test_a_preview_sends_nothing(self, github, bundle) -> None:
        """And names every file with its size."""
        lines = await sink_of(github).preview(bundle)
        assert github.requests == []
        assert lines[0] == "commit to acme/results, branch assay/triage-1, from default"
        assert "file assay/triage/triage-1/results.csv (5 bytes)" in lines
        assert lines[-1] == "pull request 'Results of triage (triage-1)', labels: none"

    async def test_two_at_once_make_one(self, github, bundle) -> None:
        """The second finds the branch of the first."""
        github.faults.append(_racing(github, bundle))
        await sink_of(github).publish(bundle)
        assert len(github.pulls) == 1 and len(github.store.log("assay/triage-1")) == 2


def _racing(github: GitHub, bundle: Bundle) -> Callable[[httpx2.Request], httpx2.Response | None]:
    """Another publisher makes the same branch just before ours."""
    done: list[bool] = []

    def fault(request: httpx2.Request) -> httpx2.Response | None:
        if request.method == "POST" and request.url.path.endswith("/git/refs") and not done:
            done.append(True)
            github.store.set_ref("assay/triage-1", json.loads(request.content)["sha"])
        return None

    return fault


class TestRefusals:
    @pytest.mark.parametrize("folder", [".github/workflows", "a/../../b", ".git/hooks", ".GitHub/x"])
    async def test_a_folder_that_the_host_would_run_is_refused(self, github, bundle, folder) -> None:
        """Before anything is sent; the option's pattern refuses most already."""
        with pytest.raises((NameRefused, ValueError)):
            await sink_of(github, folder=folder).publish(bundle)
        assert github.requests == []

    @pytest.mark.parametrize(
        ("status", "words"),
        [
            (401, "renew ASSAY_GITHUB_TOKEN"),
            (403, "it needs: contents=write; pull_requests=write"),
            (404, "may not see it"),
            (409, "first commit"),
        ],
    )
    async def test_a_refusal_says_what_to_do(self, github, bundle, status, words) -> None:
        """And never holds the token."""
        github.faults.append(once("GET /repos/acme/results", refusal(status, "No.")))
        with pytest.raises(UserError, match=words) as caught:
            await sink_of(github).publish(bundle)
        assert TOKEN not in str(caught.value)

    async def test_a_missing_base_is_named(self, github, bundle) -> None:
        """The option is the user's to mend."""
        with pytest.raises(ServiceError, match="no branch 'trunk'"):
            await sink_of(github, base="trunk").publish(bundle)


class TestLimits:
    @pytest.mark.parametrize(
        ("answer", "seconds"),
        [
            (refusal(429, "slow", {"retry-after": "7"}), 7.0),
            (refusal(403, "You have exceeded a secondary rate limit"), 60.0),
            (refusal(403, "no", {"retry-after": "9"}), 9.0),
            (refusal(500, "oops"), 1.0),
            (reply({}, 408), 1.0),
        ],
    )
    async def test_are_waited_for(self, github, bundle, answer, seconds) -> None:
        """As long as GitHub asks; then it goes on where it was."""
        slept: list[float] = []
        github.faults.append(once("POST /repos/acme/results/git/trees", answer))
        await sink_of(github, slept).publish(bundle)
        assert slept == [seconds] and len(github.pulls) == 1

    async def test_a_long_wait_is_left_to_the_caller(self, github, bundle) -> None:
        """An hour is no wait for a function; the error says when to come back."""
        answer = refusal(403, "API rate limit exceeded", {"retry-after": "3000"})
        github.faults.append(once("POST", answer))
        with pytest.raises(ServiceError, match="wait 3000 seconds"):
            await sink_of(github).publish(bundle)

    async def test_a_service_that_stays_away_ends_as_a_service_error(self, github, bundle) -> None:
        """After some tries; nothing was half done that another try would not find."""
        github.faults.append(lambda request: refusal(503, "down"))
        with pytest.raises(ServiceError, match="HTTP 503"):
            await sink_of(github).publish(bundle)


@pytest.mark.parametrize(
    ("path", "body"),
    [("/git/refs", {"ref": "refs/heads/a"}), ("/git/trees", {"tree": [{"mode": "777"}]}), ("/git/nothing", {})],
)
def test_the_stand_in_refuses_what_github_does_not_describe(path: str, body: object) -> None:
    """Or else the tests above would prove nothing of GitHub."""
    headers = {"x-github-api-version": "2022-11-28", "user-agent": "assay"}
    request = httpx2.Request("POST", f"{ADDRESS}/repos/acme/results{path}", json=body, headers=headers)
    with pytest.raises(OpenAPIError):
        validate(request)


def app_service(github: GitHub) -> HttpService:
    """What asks for an installation's token; as patient as the sink's own."""
    return sink_of(github)._service


class TestApp:
    KEY = rsa.generate_private_key(65537, 2048)

    async def test_an_installation_gets_a_token_for_this_repository_alone(self, github, bundle) -> None:
        """Signed with the app's key, with no more rights than needed, and asked for once."""
        asked: list[httpx2.Request] = []

        def grant(request: httpx2.Request) -> httpx2.Response | None:
            if not request.url.path.endswith("/access_tokens"):
                return None
            asked.append(request)
            return reply({"token": TOKEN, "expires_at": "2999-01-01T00:00:00Z"}, 201)

        github.faults.append(grant)
        access = AppAccess(app_service(github), "12", "34", "acme/results", self._pem)
        sink = sink_of(github)
        sink._service.headers = access
        await sink.publish(bundle)
        (request,) = asked
        said = json.loads(request.content)
        assert said["repositories"] == ["results"]
        assert said["permissions"] == {"contents": "write", "pull_requests": "write", "metadata": "read"}
        claims = json.loads(base64.urlsafe_b64decode(request.headers["authorization"].split(".")[1] + "=="))
        assert claims["iss"] == "12" and claims["exp"] - claims["iat"] <= 600

    async def test_a_busy_service_is_waited_for(self, github, bundle) -> None:
        """As by every other request; a refusal is the user's to fix."""
        answers = [refusal(503, "down"), reply({"token": TOKEN, "expires_at": "2999-01-01T00:00:00Z"}, 201)]
        github.faults.append(lambda request: answers.pop(0) if "access_tokens" in request.url.path else None)
        sink = sink_of(github)
        sink._service.headers = AppAccess(app_service(github), "12", "34", "acme/results", self._pem)
        await sink.publish(bundle)
        answers.append(refusal(404, "no such installation"))
        sink._service.headers = AppAccess(app_service(github), "12", "34", "acme/results", self._pem)
        with pytest.raises(UserError, match=r"gives app 12 no token for acme/results .HTTP 404."):
            await sink.publish(bundle)

    async def test_a_key_that_is_none_is_the_users_to_fix(self, github, bundle) -> None:
        """The key itself is not shown."""

        async def broken() -> str:
            return "not-a-key-confidential"

        sink = sink_of(github)
        sink._service.headers = AppAccess(app_service(github), "12", "34", "acme/results", broken)
        with pytest.raises(UserError, match="private key of GitHub App 12") as caught:
            await sink.publish(bundle)
        assert "confidential" not in str(caught.value)

    async def _pem(self) -> str:
        private = serialization.PrivateFormat.PKCS8
        return self.KEY.private_bytes(serialization.Encoding.PEM, private, serialization.NoEncryption()).decode()
