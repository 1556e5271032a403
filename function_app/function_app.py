"""The function app: every trigger, one blueprint per family. Thin: each function calls one step of `assay`."""

import azure.durable_functions as df
import azure.functions as func

from triggers import ingest, maintenance, runs, trials

app = df.DFApp(http_auth_level=func.AuthLevel.FUNCTION)
for family in (ingest, trials, runs, maintenance):
    app.register_functions(family.blueprint)
