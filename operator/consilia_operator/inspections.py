"""Inspections of data: every Dataset is known to the ledger by its content before a job is let near it."""

from dataclasses import dataclass

from consilia.api import Dataset
from consilia_operator import pods
from consilia_operator.applying import digest_of
from consilia_operator.conditions import Finding, condition, holds
from consilia_operator.context import Context
from consilia_operator.kinds import JOB, POD
from consilia_operator.manifests import inspection, pod
from consilia_operator.manifests.inspection import INSPECTION, InspectionParts
from consilia_operator.names import APPLIED, COMPONENT, DATASET, SOURCE
from consilia_operator.store import Document, Key


@dataclass(frozen=True, slots=True)
class Inspection:
    """The inspection of a Dataset as it is now."""

    parts: InspectionParts
    job: Document | None

    @property
    def done(self) -> bool:
        """Whether the ledger knows this very data."""
        return self.job is not None and not self.outdated and holds(_conditions(self.job), "Complete")

    @property
    def outdated(self) -> bool:
        """Whether the Job that is there looked at something else, or is an older Dataset's of the name."""
        if self.job is None:
            return False
        metadata, ours = self.job["metadata"], self.parts.document["metadata"]["uid"]
        same = metadata.get("annotations", {}).get(SOURCE) == inspection.source_of(self.parts.dataset)
        return not same or ours not in {each["uid"] for each in metadata.get("ownerReferences", ())}


def observe(context: Context, dataset: Dataset, document: Document) -> Inspection | None:
    """What the watches have shown; None for data that the task brings, where nothing can be looked at."""
    data = pod.data(dataset.spec.source)
    if data is None:
        return None
    key = Key(JOB, document["metadata"]["namespace"], inspection.name_of(dataset.metadata.name))
    parts = InspectionParts(dataset=dataset, document=document, data=data)
    return Inspection(parts, context.store.get(key))


async def inspect(context: Context, found: Inspection, *, anew: bool = False) -> Finding:
    """See that it is under way; how it is. `anew`: whatever came of an earlier one."""
    documents = inspection.documents(found.parts, context.settings)
    if found.job is not None and (anew or found.outdated or _made_otherwise(found.job, documents[-1])):
        metadata = found.job["metadata"]
        await context.applying.delete(JOB, metadata["namespace"], metadata["name"], uid=metadata["uid"])
        return Finding("Ready", False, "Inspecting", "The inspection that was begun before is cleared away.")
    for document in documents:
        await context.applying.apply(document)
    return _how_it_is(context, found)


def _made_otherwise(job: Document, wanted: Document) -> bool:
    """Whether it was made by other settings, which may be what keeps it from its end; a Job cannot be changed."""
    return bool(job["metadata"].get("annotations", {}).get(APPLIED) != digest_of(wanted))


def _how_it_is(context: Context, found: Inspection) -> Finding:
    name, namespace = found.parts.dataset.metadata.name, found.parts.namespace
    own = {COMPONENT: INSPECTION, DATASET: name}
    newest = pods.newest(list(context.store.matching(POD, namespace, own)))
    failed = condition(_conditions(found.job), "Failed") if found.job else None
    if failed and failed["status"] == "True":
        containers = newest.get("status", {}).get("containerStatuses", ()) if newest else ()
        last = " ".join(pods.last_words(each) for each in containers)
        again = f"kubectl -n {namespace} delete job {inspection.name_of(name)}"
        message = f"The data cannot be inspected. {last} Correct it, and have it inspected again: {again}"
        return Finding("Ready", False, "InspectionFailed", message)
    if newest and (trouble := pods.trouble(newest)):
        return Finding("Ready", False, trouble.reason, f"The data is not inspected yet. {trouble.message}")
    return Finding("Ready", False, "Inspecting", "The ledger is being told what data it is.")


def _conditions(job: Document) -> tuple[Document, ...]:
    return tuple(job.get("status", {}).get("conditions", ()))
