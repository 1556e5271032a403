"""The environment of the baselines: apart from the project's, because they want other versions of the same packages."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from .stage import ROOT

FOLDER = ROOT / ".assay" / "bench" / "baselines"
# Their licences are MIT and Apache-2.0. aiohttp is what LiteLLM sends through.
PACKAGES = ("litellm==1.106.2", "aiolimiter==1.3.0", "openai==2.54.0", "aiohttp==3.14.5")
NAMES = ("litellm", "aiolimiter", "openai")

_VERSIONS = "import json, importlib.metadata as m; print(json.dumps({n: m.version(n) for n in %r}))"


def baseline_python() -> Path:
    """The interpreter of the environment, which is made at the first call. Ends the bench when that fails."""
    python = FOLDER / "bin" / "python"
    stamp = FOLDER / "packages.txt"
    if python.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == "\n".join(PACKAGES):
        return python
    print(f"making the baselines' environment: {' '.join(PACKAGES)}", file=sys.stderr, flush=True)
    base = Path(sys.base_prefix) / "bin" / "python3"
    try:
        subprocess.run([base, "-m", "venv", "--clear", FOLDER], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True, stdout=sys.stderr)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"the baselines' environment in {FOLDER} could not be made: {error}") from error
    stamp.write_text("\n".join(PACKAGES), encoding="utf-8")
    return python


def versions() -> dict[str, str]:
    """What the baselines really run with."""
    answer = subprocess.run([baseline_python(), "-c", _VERSIONS % (NAMES,)], capture_output=True, check=True)
    return dict(json.loads(answer.stdout))


def baseline_command() -> list[str]:
    return [str(baseline_python()), "-m", "tests.bench.quota.baseline"]
