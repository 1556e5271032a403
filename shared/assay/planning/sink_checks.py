"""What is wrong with the sinks of a suite, before a run. Preflight calls it."""

from collections.abc import Iterator

from assay.planning.complaints import Complaint, made_plugins
from assay.suite.models import Suite
from assay.suite.sink_options import SINKS, BlobOptions, sink_name


def sink_complaints(suite: Suite) -> Iterator[Complaint]:
    """Sinks that cannot be made, and names that stand twice: receipts are kept by name."""
    found, complaints = made_plugins(suite.sinks, "sinks", SINKS)
    yield from complaints
    names: list[str] = []
    for path, settings, options in found:
        if isinstance(options, BlobOptions) and options.name:
            yield (*path, "name"), "the sink 'blob' keeps its name: a run has one container for its bundles"
        name = sink_name(settings.plugin, options)
        if name in names:
            yield path, f"sink '{name}' stands twice; give one of them another 'name'"
        if name == "blob" and not isinstance(options, BlobOptions):
            yield (*path, "name"), "the name 'blob' belongs to the run's own container; choose another one"
        names.append(name)
