"""What settings open: the signer that is set, and the sinks of a suite, each for itself."""

from pathlib import Path

import pytest
from azure.core.exceptions import ClientAuthenticationError
from cryptography.hazmat.primitives import serialization

from assay.destinations import Destinations
from assay.errors import UserError
from assay.provenance.signing import HmacSigner, LocalKeySigner
from assay.settings import Settings
from assay.storage.memory import MemoryStorage
from assay.suite.models import Suite
from assay.telemetry import RecordingTelemetry
from builders import suite
from stand_ins.sealed import sealed_bundle

SINKS = (
    {"plugin": "folder"},
    {"plugin": "github", "repository": "acme/results"},
    {"plugin": "azure_devops", "organization": "acme", "project": "lab", "repository": "results"},
    {"plugin": "sql", "connection": "warehouse"},
    {"plugin": "webhook", "address": "team"},
    {"plugin": "excel"},
)
READY = {
    "ASSAY_RESULTS_FOLDER": "out",
    "ASSAY_GITHUB_TOKEN": "github-confidential",
    "ASSAY_DEVOPS_TOKEN": "devops-confidential",
    "ASSAY_WEBHOOKS": '{"team": {"url": "https://hooks.example.org/confidential", "secret": "whsec_aaaa"}}',
}


def opened(environment: dict[str, str], learned: list[str] | None = None) -> Destinations:
    async def address_of(connection: str) -> str:
        return f"sqlite:///{connection}.db"

    def no_identity() -> object:
        raise AssertionError("nothing here needs an identity")

    settings, learn = Settings.load(environment), (learned if learned is not None else []).append
    return Destinations(settings, MemoryStorage(), RecordingTelemetry(), no_identity, learn, address_of)


def with_sinks(*sinks: dict[str, object]) -> Suite:
    return suite(sinks=list(sinks))


class TestSinks:
    def test_the_own_container_is_always_the_first(self) -> None:
        """Said or not, and never twice."""
        assert [one.name for one in opened({}).sinks(suite())] == ["blob"]
        chosen = with_sinks({"plugin": "sql", "connection": "w"}, {"plugin": "blob", "archive": True})
        assert [one.name for one in opened({}).sinks(chosen)] == ["blob", "sql"]

    def test_every_kind_opens(self) -> None:
        """With the settings that it needs."""
        found = opened(READY).sinks(with_sinks(*SINKS))
        assert [type(one).__name__ for one in found[1:]] == [
            "FolderSink",
            "GitHubSink",
            "AzureDevOpsSink",
            "SqlSink",
            "WebhookSink",
            "ExcelSink",
        ]

    @pytest.mark.parametrize(
        ("sink", "setting"),
        [
            (SINKS[0], "ASSAY_RESULTS_FOLDER"),
            (SINKS[5], "ASSAY_RESULTS_FOLDER"),
            (SINKS[1], "ASSAY_GITHUB_TOKEN or ASSAY_GITHUB_APP"),
        ],
    )
    async def test_one_that_lacks_a_setting_names_it_when_used(self, tmp_path, sink, setting) -> None:
        """The others still publish."""
        _, found = opened({}).sinks(with_sinks(sink))
        bundle = await sealed_bundle(tmp_path / "bundle")
        assert setting in (await found.preview(bundle))[0]
        with pytest.raises(UserError, match=setting):
            await found.publish(bundle)

    async def test_an_identity_that_gets_no_token_is_the_users_to_mend(self) -> None:
        """The SDK's own error says neither what for, nor what to set."""

        class NoIdentity:
            async def get_token(self, *_: str) -> None:
                raise ClientAuthenticationError("no managed identity endpoint found")

        destinations = opened({})
        destinations._credential = NoIdentity
        found = destinations.sinks(with_sinks(SINKS[2]))[1]
        with pytest.raises(UserError, match=r"no managed identity endpoint found.*ASSAY_DEVOPS_TOKEN"):
            await found._service.headers()

    async def test_an_unknown_webhook_is_named(self, tmp_path) -> None:
        """With those that there are."""
        found = opened(READY).sinks(with_sinks({"plugin": "webhook", "address": "taem"}))[1]
        with pytest.raises(UserError, match=r"no webhook 'taem' .did you mean 'team'"):
            await found._webhook_of("taem")

    async def test_secrets_that_are_read_are_told_for_redaction(self) -> None:
        """Before they are sent anywhere."""
        learned: list[str] = []
        found = opened(READY, learned).sinks(with_sinks(*SINKS))
        assert "github-confidential" in str(await found[2]._service.headers())
        await found[3]._service.headers()
        await found[5]._webhook_of("team")
        assert {"github-confidential", "devops-confidential", "https://hooks.example.org/confidential"} <= set(learned)


class TestSigners:
    async def test_a_secret_seals(self) -> None:
        """As the settings say, and never by default."""
        signer = await opened({"ASSAY_SIGNING_SECRET": "0123456789abcdef0123456789abcdef"}).signer()
        assert isinstance(signer, HmacSigner)

    async def test_a_key_file_signs(self, tmp_path: Path) -> None:
        """It is made when it is not there."""
        signer = await opened({"ASSAY_SIGNING_KEY_FILE": str(tmp_path / "key.pem")}).signer()
        assert isinstance(signer, LocalKeySigner)
        assert serialization.load_pem_private_key((tmp_path / "key.pem").read_bytes(), None)

    async def test_two_ways_to_sign_are_a_mistake(self, tmp_path: Path) -> None:
        """Nobody should wonder which of them holds."""
        both = {"ASSAY_SIGNING_SECRET": "0" * 32, "ASSAY_SIGNING_KEY_FILE": str(tmp_path / "key.pem")}
        with pytest.raises(UserError, match="set one of ASSAY_SIGNING_KEY"):
            await opened(both).signer()
