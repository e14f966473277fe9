"""A hub and a hospital in processes of their own, each of the version that a test gives it, over one log."""

from dataclasses import dataclass

from two_versions import Party

RULED, OTHER = {"entrypoint": "package.module:Task"}, {"entrypoint": "package.module:Other"}
ROUNDS = {"rounds": {"count": 10}, "hospitals": {"names": ["riverside"], "minReady": 1, "minUpdates": 1}}
PRIVATE = {"privacy": {"epsilon": "2", "delta": "1e-5"}, "training": {"localSteps": 5, "batchSize": 50}}


@dataclass
class Pair:
    """A hub and the hospital that has joined it."""

    hub: Party
    hospital: Party

    def join(self):
        """The papers go to and fro, as people pass them on."""
        self.hospital.accept(bundle=self.hub.admit(request=self.hospital.request()))
        budget = {"publicSize": 1000, "privacyBudget": {"epsilon": "8", "delta": "1e-5"}}
        self.hospital.dataset(name="patients", spec=budget)
        self.hospital.dataset(name="pictures", spec={"source": {"builtin": {}}})
        self.both_turn()

    def both_turn(self):
        """The hub writes, the hospital reads, decides and tells, the hub reads."""
        self.hub.turn(told=self.hospital.turn(said=self.hub.turn()))

    def offer(self, name, dataset="pictures", task=RULED, **more):
        self.hub.apply(name=name, spec={**ROUNDS, "task": task, "dataset": dataset, **more})
        self.both_turn()

    def told(self, name):
        """By condition: whether it holds, and why, as the hub has heard of the hospital's part."""
        part = self.hub.sees(name=name)["part"]
        return {each["type"]: (each["status"], each["reason"]) for each in part["status"]["conditions"]}
