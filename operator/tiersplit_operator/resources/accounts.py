"""The ServiceAccount of stages and Jobs: it may do nothing, and no token for the API is mounted."""

from tiersplit_operator.resources.context import OPERATOR_ANNOTATION, Context
from tiersplit_operator.resources.names import account_name
from tiersplit_operator.resources.pods import Tree, metadata


def stage_account(context: Context) -> Tree:
    """The ServiceAccount."""
    annotations = {OPERATOR_ANNOTATION: context.settings.lease.place}
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(context, account_name(context.name), context.labels(), annotations=annotations),
        "automountServiceAccountToken": False,
    }
