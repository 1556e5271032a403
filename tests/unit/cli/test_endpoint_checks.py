"""What `assay validate` and `assay doctor` say of model endpoints."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from assay.cli.doctor import CHECKS
from assay.cli.main import app
from assay.errors import CheckFailed

SUITE = """\
version: 1
name: demo
experiments:
  - {name: plain, baseline: true, user: "{{ text }}", model: {deployment: mini, fallbacks: [qwen3:8b@local]}}
  - {name: other, user: "{{ text }}", model: {deployment: meta/llama@home}}
"""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a `.env` nor a local stack of whoever runs the tests."""
    monkeypatch.chdir(tmp_path)


class _Health(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/health" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing to read."""


@pytest.fixture
def llama_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[_Health]]:
    class Health(_Health):
        pass

    with HTTPServer(("127.0.0.1", 0), Health) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        endpoint = {"kind": "llama_cpp", "url": f"http://127.0.0.1:{server.server_port}/v1"}
        monkeypatch.setenv("ASSAY_ENDPOINTS", json.dumps({"home": endpoint}))
        yield Health
        server.shutdown()
        serving.join()


def validated(folder: Path, *options: str) -> tuple[str, str]:
    suite = folder / "demo"
    suite.mkdir(exist_ok=True)
    (suite / "suite.yaml").write_text(SUITE, encoding="utf-8")
    result = CliRunner().invoke(app, ["validate", str(suite), *options])
    assert result.exit_code == 0, result.output
    return result.stdout, result.stderr


def test_validate_warns_of_endpoints_that_the_settings_lack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no mistake of the suite: where the workers are, there may be one."""
    monkeypatch.setenv("ASSAY_ENDPOINTS", '{"home": {"kind": "openai", "url": "https://llm.example/v1"}}')
    expected = "'qwen3:8b@local' names an endpoint that ASSAY_ENDPOINTS lacks here; workers need it. It has: home"
    assert validated(tmp_path)[1] == f"Warning: {expected}\n"
    assert json.loads(validated(tmp_path, "--json")[0])["warnings"] == [expected]


def test_validate_says_what_is_wrong_with_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite is still fine."""
    monkeypatch.setenv("ASSAY_ENDPOINTS", '{"home": {"kind": "ollama", "url": "https://llm.example/v1"}}')
    assert "ASSAY_ENDPOINTS: home.kind: expected 'azure'" in validated(tmp_path)[1]


def test_doctor_names_every_endpoint_with_its_kind(llama_server: type[_Health]) -> None:
    """One that is ready is well."""
    assert CHECKS["models"]() == "home (llama_cpp)"


def test_doctor_finds_a_llama_cpp_server_that_is_loading(llama_server: type[_Health]) -> None:
    """It answers 503 until its model is loaded."""
    llama_server.status = 503
    with pytest.raises(CheckFailed, match=r"'home' is not ready \(HTTP 503\); wait until its model is loaded"):
        CHECKS["models"]()


def test_doctor_finds_a_llama_cpp_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port on which nobody listens."""
    monkeypatch.setenv("ASSAY_ENDPOINTS", '{"home": {"kind": "llama_cpp", "url": "http://127.0.0.1:9"}}')
    with pytest.raises(CheckFailed, match="'home' does not answer"):
        CHECKS["models"]()
