"""What of the operator's settings a program was begun with, kept as long as it runs.

A new version of the operator, or another size in its settings, is no reason to end a training in the middle, nor to
have the parties of one job run different versions. It stands on what the program is run by, as an annotation.
"""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import ValidationError

from consilia_operator.names import BEGUN_WITH
from consilia_operator.settings import OperatorSettings, PullPolicy, Resources, Section

Part = Literal["aggregator", "trainer"]


class BegunWith(Section):
    """The settings of one program's pod."""

    image: str
    pull_policy: PullPolicy
    pull_secrets: tuple[str, ...]
    resources: Resources

    @classmethod
    def of(cls, settings: OperatorSettings, part: Part) -> Self:
        """What a program that is begun now is begun with."""
        images = settings.images
        return cls(
            image=images.worker,
            pull_policy=images.pull_policy,
            pull_secrets=images.pull_secrets,
            resources=getattr(settings.sizes, part),
        )

    def annotations(self) -> dict[str, str]:
        """For the metadata of what runs the program."""
        return {BEGUN_WITH: self.model_dump_json(by_alias=True)}


def recalled(settings: OperatorSettings, part: Part, running: Mapping[str, Any] | None) -> OperatorSettings:
    """The settings, but what the running program was begun with as it was then."""
    annotations = running["metadata"].get("annotations", {}) if running else {}
    try:
        begun = BegunWith.model_validate_json(annotations.get(BEGUN_WITH, ""))
    except ValidationError:  # none, or an older version's, or somebody else's words
        return settings
    images = {"worker": begun.image, "pull_policy": begun.pull_policy, "pull_secrets": begun.pull_secrets}
    update = {
        "images": settings.images.model_copy(update=images),
        "sizes": settings.sizes.model_copy(update={part: begun.resources}),
    }
    return settings.model_copy(update=update)
