"""What children are called; a resource's name has at most 40 characters, a tier's 16, so that all of these fit 63."""

KEY_DIGITS = 8


def workload_name(name: str, tier: str) -> str:
    """The Deployment or DaemonSet of a tier; its disruption budget is called the same."""
    return f"{name}-{tier}"


def tier_service_name(name: str, tier: str) -> str:
    """The headless Service by which the tier before reaches a tier."""
    return f"{name}-{tier}"


def front_service_name(name: str) -> str:
    """The Service that clients use."""
    return name


def route_name(name: str) -> str:
    """The ConfigMap that keeps the route."""
    return f"{name}-route"


def model_name(name: str) -> str:
    """The ConfigMap that tells the import Job what to import."""
    return f"{name}-model"


def account_name(name: str) -> str:
    """The ServiceAccount of stages and Jobs."""
    return f"{name}-stage"


def policy_name(name: str) -> str:
    """The NetworkPolicy of stages and Jobs."""
    return f"{name}-stage"


def import_job_name(name: str, key: str) -> str:
    """The Job that imports the model."""
    return f"{name}-import-{key[:KEY_DIGITS]}"


def profile_job_name(name: str, tier: str, key: str) -> str:
    """The Job that measures on one tier; at most 40 + 1 + 16 + 5 characters, so the key's digits bound it."""
    return f"{name}-{tier}-{key[:KEY_DIGITS]}"[:63]


def materialise_job_name(name: str, key: str) -> str:
    """The Job that cuts segments."""
    return f"{name}-cut-{key[:KEY_DIGITS]}"
