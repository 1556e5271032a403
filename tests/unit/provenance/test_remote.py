"""Bundles by address: fetched with their query, no further than the manifest says, and then verified as any other."""

import asyncio
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from assay.errors import ServiceError, UserError
from assay.provenance.bundle import Statement, seal_folder
from assay.provenance.findings import Fault
from assay.provenance.remote import fetch_bundle
from assay.provenance.signing import LocalKeySigner
from assay.provenance.verification import verify_bundle

SIGNER = LocalKeySigner(ec.generate_private_key(ec.SECP256R1()))


class Quiet(SimpleHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if "sig=expired" in self.path:
            self.send_error(403)
        else:
            super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder with a sealed bundle in `r 1`, and its address."""
    folder = tmp_path / "site"
    bundle = folder / "r 1"
    (bundle / "plots").mkdir(parents=True)
    (bundle / "plots" / "box#1.svg").write_bytes(b"<svg/>")
    (bundle / "results.csv").write_bytes(b"id,score\n1,0.5\n")
    asyncio.run(seal_folder(bundle, Statement("r1", "2026-01-02T03:04:05Z", {}), SIGNER))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}/r%201"
    server.shutdown()
    server.server_close()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "target").mkdir()
    return tmp_path / "target"


@pytest.mark.parametrize("ending", ["", "/", "/manifest.json"])
def test_a_folder_verifies_by_its_address(site, target, ending):
    """With or without the manifest's name; names are quoted as addresses need."""
    assert verify_bundle(fetch_bundle(site[1] + ending, target), SIGNER.public_key_pem).ok


def test_the_query_goes_with_every_request(site, target):
    """A shared access signature opens all of a container's folder."""
    Quiet.asked.clear()
    fetch_bundle(site[1] + "?sv=1&sig=abc", target)
    assert Quiet.asked and all(path.endswith("?sv=1&sig=abc") for path in Quiet.asked)


def test_a_file_that_grew_is_not_fetched_to_its_end(site, target):
    """One byte too many is enough to know."""
    (site[0] / "r 1" / "results.csv").write_bytes(bytes(1_000_000))
    bundle = fetch_bundle(site[1], target)
    assert (bundle / "results.csv").stat().st_size == 16
    (found,) = verify_bundle(bundle).findings
    assert (found.path, found.fault) == ("results.csv", Fault.WRONG_SIZE)


def test_a_missing_file_is_found(site, target):
    """As in a folder."""
    (site[0] / "r 1" / "results.csv").unlink()
    (found,) = verify_bundle(fetch_bundle(site[1], target)).findings
    assert (found.path, found.fault) == ("results.csv", Fault.MISSING)


def test_a_zip_verifies_by_its_address(site, target):
    """And is not unpacked."""
    with zipfile.ZipFile(site[0] / "bundle.zip", "w") as archive:
        for file in (site[0] / "r 1").rglob("*"):
            archive.write(file, file.relative_to(site[0]))
    assert verify_bundle(fetch_bundle(site[1].replace("r%201", "bundle.zip"), target)).ok
    assert [path.name for path in target.iterdir()] == ["bundle.zip"]


@pytest.mark.parametrize("ending", ["x", "x.zip"])
def test_an_address_with_nothing_there_is_the_users_error(site, target, ending):
    """It names the address."""
    with pytest.raises(UserError, match="there is no"):
        fetch_bundle(site[1] + ending, target)


def test_a_refused_address_says_so_without_its_signature(site, target):
    """The query may be a secret."""
    with pytest.raises(ServiceError, match="HTTP 403") as caught:
        fetch_bundle(site[1] + "?sig=expired", target)
    assert "expired" not in str(caught.value)


@pytest.mark.parametrize("address", ["http://example.org/r1", "ftp://example.org/r1", "file:///etc"])
def test_an_address_that_others_could_change_on_the_way_is_refused(target, address):
    """Only https, and http on this machine."""
    with pytest.raises(UserError, match="expected an https"):
        fetch_bundle(address, target)
