"""What is known of a plan's accuracy, in sentences."""

from tiersplit_cli.planned import Planned
from tiersplit_control.words import accuracy_text


def accuracy_sentences(planned: Planned) -> list[str]:
    """How accurate the plan is beside the model, and whether faster plans wait to be rated; empty where nothing was."""
    known, accuracy = planned.given.accuracies, planned.accuracy
    if known is None:
        return []
    model = f"the model {accuracy_text(known.whole)}"
    if accuracy is None:
        said = f"{known.metric} of the plan was not measured; {model}."
    elif planned.solution.plan is not None and planned.solution.plan.widths:
        said = f"{known.metric} of the plan is {accuracy_text(accuracy)}, {model}."
    else:
        said = f"{known.metric} is {accuracy_text(accuracy)}, as the model's."
    return [said, *_unrated(planned)]


def _unrated(planned: Planned) -> list[str]:
    if not planned.unrated:
        return []
    plans = "1 plan" if planned.unrated == 1 else f"{planned.unrated} plans"
    return [f"{plans} with fewer bits may be faster, but were not rated; `tiersplit run` rates those that matter."]
