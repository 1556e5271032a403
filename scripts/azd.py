"""Called by `azd` once it has provisioned: builds the image, and provisions once more with it if it is a new one."""

from __future__ import annotations

import os
import sys

import toolchain
from azure_deploy import image
from azure_deploy.az import Azure
from azure_deploy.main import guarded
from toolchain import StepFailed, say


def main() -> int:
    """Take the steps; returns the exit code."""
    return guarded(build_and_provision, "The azd hook")


def build_and_provision() -> None:
    """For the same code nothing is changed, so that the inner `azd provision` ends here. Raises StepFailed."""
    azure = Azure(_from_azd("AZURE_SUBSCRIPTION_ID"))
    registry = image.Registry(_from_azd("AZURE_CONTAINER_REGISTRY_ENDPOINT"), azure)
    built = image.build_image(registry, image.current_revision(), base_digest="")
    if built == os.environ.get("ASSAY_IMAGE"):
        say("The app has this image already")
        return
    toolchain.run(["azd", "env", "set", "ASSAY_IMAGE", built])
    say("Provisioning the app with its image")
    toolchain.run(["azd", "provision", "--no-prompt"], environment={**os.environ, "ASSAY_IMAGE": built})


def _from_azd(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise StepFailed(f"{name} is not set. This is a hook of `azd`, for `azd up` or `azd provision` to call.")
    return value


if __name__ == "__main__":
    sys.exit(main())
