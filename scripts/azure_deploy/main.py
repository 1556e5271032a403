"""`scripts/deploy`: from a checkout to a running Assay in Azure, one step after the other; each can run again."""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolchain import ROOT, StepFailed, say

from azure_deploy import existing, image, models, preflight, quota, suites, template
from azure_deploy.az import Azure, Rehearsal
from azure_deploy.preflight import Account
from azure_deploy.template import Environment

EPILOG = "The same command again goes on where it failed, or upgrades. docs/deploying.md explains every step."
SAMPLE = ROOT / "config" / "support-triage"
PORTAL = "https://portal.azure.com/#@{tenant}/resource{resource}"


def main(arguments: Sequence[str]) -> int:
    """Deploy as the command line says; returns the exit code."""
    options = parser().parse_args(arguments)
    return guarded(lambda: deploy(Rehearsal() if options.dry_run else Azure(), options), "Deployment")


def guarded(work: Callable[[], None], name: str) -> int:
    """Run a command; what stops it is told in sentences. Returns the exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name that the terminal cannot show must not end a deployment.
        sys.stdout.reconfigure(errors="replace")
    try:
        work()
    except StepFailed as problem:
        print(f"{name} stopped. {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\n{name} interrupted. What Azure has begun goes on there; the same command goes on.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read along, such as `head`, has gone; what Python still has to print would complain once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    """The options of `scripts/deploy`."""
    made = argparse.ArgumentParser(prog="scripts/deploy", description="Deploy Assay to Azure.", epilog=EPILOG)
    add_common(made)
    made.add_argument("--image", default="", help="an image by digest, in place of building one from this checkout")
    made.add_argument("--base-digest", default="", metavar="sha256:...", help="build on exactly this base image")
    made.add_argument(
        "--suite",
        type=Path,
        action="append",
        metavar="DIR",
        help="a suite to upload; several times (default: a sample)",
    )
    made.add_argument("--no-smoke", dest="smoke", action="store_false", help="make no smoke run (6 short model calls)")
    return made


def add_common(made: argparse.ArgumentParser) -> None:
    """Adds the options that deploying and tearing down share."""
    made.add_argument("--parameters", type=Path, metavar="FILE", help="a .bicepparam or JSON file; infra/ has samples")
    made.add_argument("--name", default="", help="name of the environment, 2 to 7 letters and digits (default: assay)")
    made.add_argument("--location", default="", metavar="REGION", help="Azure region, such as swedencentral")
    made.add_argument("--subscription", default="", metavar="ID", help="subscription, id or name (default: current)")
    made.add_argument("--yes", action="store_true", help="do not ask before changing anything")
    made.add_argument("--dry-run", action="store_true", help="ask Azure, change nothing, print what would be run")


def deploy(azure: Azure, options: argparse.Namespace) -> None:
    """Take every step. Raises StepFailed at the first that cannot be done."""
    preflight.check_assay()
    suites.check_suites(options.suite or [])
    image.check_digests(options.image, options.base_digest)
    preflight.check_tools(azure)
    account = preflight.check_account(azure, options.subscription)
    azure = azure.of(account.subscription)
    principal = preflight.find_principal(azure)
    environment = template.read_environment(azure, options.parameters, options.name, options.location)
    preflight.register_providers(azure, environment.values)
    accounts = environment.values["openAiAccounts"]
    has = existing.existing_deployments(azure, environment.group)
    models.check_models(azure, accounts, environment.location, has)
    demands = quota.demands_of(accounts, environment.location)
    quota.check_quota(azure, demands, quota.held_capacity(has))
    outputs = roll_out(azure, environment, operators_of(account, principal, environment), options)
    if not outputs:
        say("Would upload the suites and make a smoke run. Nothing was changed.")
        return
    use(Site(environment, outputs, account, principal), options)


def operators_of(account: Account, principal: str, environment: Environment) -> dict[str, str]:
    """The parameters that let whoever deploys use what is deployed, unless the parameters file names somebody."""
    if environment.values.get("operatorsId"):
        return {}
    kind = "User" if account.kind == "user" else "ServicePrincipal"
    return {"operatorsId": principal, "operatorsType": kind}


def roll_out(
    azure: Azure, environment: Environment, operators: Mapping[str, str], options: argparse.Namespace
) -> dict[str, str]:
    """Build the image and deploy; gives what the template puts out, nothing in a rehearsal.

    The first time there is no registry to build in, so everything but the app is deployed before it.
    """
    outputs = template.earlier_outputs(azure, environment)
    if outputs and not registry_of(azure, environment, outputs).exists():
        say("The registry of the last deployment is gone, so it counts for nothing")
        outputs = {}
    ask = Question(azure, environment, skip=options.yes or options.dry_run)
    if not outputs:
        warn_of_group(azure, environment.group)
    if not outputs and not options.image:
        say("No finished deployment yet: everything but the app, then the image, then the app")
        ask.once(operators)
        outputs = template.create(azure, environment, operators)
    registry = registry_of(azure, environment, outputs)
    chosen = options.image or image.build_image(registry, image.current_revision(), options.base_digest)
    parameters = {**operators, "image": chosen}
    ask.once(parameters)
    return template.create(azure, environment, parameters)


def registry_of(azure: Azure, environment: Environment, outputs: Mapping[str, str]) -> image.Registry:
    """The registry that the template put out; one of yours may be in another subscription."""
    parts = str(environment.values.get("existingRegistryId") or "").split("/")
    home = azure.of(parts[2]) if len(parts) > 2 else azure
    return image.Registry(outputs.get("AZURE_CONTAINER_REGISTRY_ENDPOINT", ""), home)


def warn_of_group(azure: Azure, group: str) -> None:
    """Says that the group of a first deployment is there already, perhaps somebody else's."""
    if azure.finds("group", "show", "--name", group):
        say(f"{group} is there already. What is in it stays; but `scripts/teardown` would delete all of it")


class Question:
    """Shows what would change, every time, and asks whether to go on, once."""

    def __init__(self, azure: Azure, environment: Environment, skip: bool) -> None:
        self._azure, self._environment, self._is_answered = azure, environment, skip

    def once(self, parameters: Mapping[str, str]) -> None:
        """Raises StepFailed when the person declines."""
        template.preview(self._azure, self._environment, parameters)
        if not self._is_answered:
            template.confirm(f"Deploy this to {self._environment.group} in {self._environment.location}?")
        self._is_answered = True


@dataclass(frozen=True)
class Site:
    """What was deployed, and by whom."""

    environment: Environment
    outputs: Mapping[str, str]
    account: Account
    principal: str

    @property
    def reason_not_to_upload(self) -> str:
        """Why suites cannot be uploaded from here; nothing when they can."""
        if self.environment.values.get("privateNetwork"):
            return "Storage is reached from the private network only: upload suites and drop files from there."
        operators = self.environment.values.get("operatorsId") or self.principal
        # A person may belong to the group of operators; a workflow's identity does not.
        if self.account.kind != "user" and operators != self.principal:
            return "The operators are others: suites and the smoke run are left to them."
        return ""

    def link(self, resource: str) -> str:
        """Address of a resource in the portal, by its id or by its path within the resource group."""
        home = f"/subscriptions/{self.account.subscription}/resourceGroups/{self.environment.group}"
        whole = resource if resource.startswith("/subscriptions/") else f"{home}{resource}"
        return PORTAL.format(tenant=self.account.tenant, resource=whole)


def use(site: Site, options: argparse.Namespace) -> None:
    """Upload suites, make the smoke run, say what to do next."""
    place = suites.Place(site.outputs)
    try:
        if site.reason_not_to_upload:
            say(site.reason_not_to_upload)
            return
        names = deployment_names(site.environment.values["openAiAccounts"])
        suites.upload_suites(place, options.suite or fitting_sample(names))
        if options.smoke and names:
            suites.smoke_run(place, names[0], secrets.token_hex(4))
    finally:
        print(farewell(site), flush=True)


def deployment_names(accounts: Sequence[Mapping[str, Any]]) -> list[str]:
    """The model deployments as suites name them."""
    return [
        one["name"] if account is accounts[0] else f"{one['name']}@{account['name']}"
        for account in accounts
        for one in account["deployments"]
    ]


def fitting_sample(names: Sequence[str]) -> list[Path]:
    """The sample, if there is the deployment that it asks; another model may refuse its temperature or its limit."""
    asked = deployment_of_sample()
    if asked in names:
        return [SAMPLE]
    have = ", ".join(names) or "none"
    say(f"No suite uploaded: {SAMPLE.name} asks {asked}, and there is {have}. Upload yours with --suite FOLDER")
    return []


def deployment_of_sample() -> str:
    """The one deployment that the sample asks."""
    found = re.search(r"deployment: ([\w.@-]+)", (SAMPLE / "suite.yaml").read_text(encoding="utf-8"))
    return found[1] if found else ""


def farewell(site: Site) -> str:
    """Where things are, and what to set to use them from here."""
    names = ("ASSAY_STORAGE__blobServiceUri", "ASSAY_STORAGE__queueServiceUri", "KEY_VAULT_URI")
    exports = "\n".join(f"  export {name}={json.dumps(site.outputs[name.upper()])}" for name in names)
    app = site.link(f"/providers/Microsoft.App/containerApps/{site.outputs['ASSAY_APP_NAME']}")
    return (
        f"\nAssay is deployed in {site.environment.group}. From this machine:\n{exports}\n"
        "  .venv/bin/assay submit FILE --suite NAME --watch\n\n"
        f"Portal\n  resources  {site.link('')}\n  app        {app}\n"
        f"  workbook   {site.link(site.outputs['ASSAY_WORKBOOK_ID'])}\n"
        f"  signing    {site.outputs['ASSAY_SIGNING_KEY']}"
    )
