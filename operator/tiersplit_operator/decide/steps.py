"""All steps in their order."""

from tiersplit_operator import conditions
from tiersplit_operator.decide.accuracy import accuracy
from tiersplit_operator.decide.model import find_model, validate
from tiersplit_operator.decide.planning import plan
from tiersplit_operator.decide.profiles import profile_layers
from tiersplit_operator.decide.progress import Progress
from tiersplit_operator.decide.serving import adaptation, deploy, readiness, sweep
from tiersplit_operator.facts import Facts
from tiersplit_operator.settings import OperatorSettings

STEPS = (validate, find_model, profile_layers, plan, accuracy, deploy, sweep, adaptation, readiness)


def decide(facts: Facts, settings: OperatorSettings) -> Progress:
    """What should be, from what is known.

    The answer is final once it needs nothing more from the registry: else ask it, and decide again.
    """
    progress = Progress(facts, settings)
    if facts.registry_problem:
        progress = progress.mark(conditions.registry_unreachable(facts.registry_problem))
    for step in STEPS:
        progress = step(progress)
    return progress
