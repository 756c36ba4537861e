"""Jobs: import the model, measure it on a tier, cut its segments and rate its plans."""

from collections.abc import Iterable, Mapping, Sequence

from tiersplit_api.v1alpha1.model import Import, Model
from tiersplit_api.v1alpha1.tiers import Tier
from tiersplit_core.units import parse_quantity
from tiersplit_operator.resources.context import KEY_ANNOTATION, Context, ProfileRequest
from tiersplit_operator.resources.merging import merged
from tiersplit_operator.resources.names import (
    account_name,
    import_job_name,
    materialise_job_name,
    model_name,
    profile_job_name,
)
from tiersplit_operator.resources.pods import (
    CONTAINER_SECURITY,
    MODEL_DIR,
    POD_SECURITY,
    Tree,
    metadata,
    registry_arguments,
    registry_credentials,
    scratch,
)
from tiersplit_operator.resources.quantities import in_mebibytes, limit_of
from tiersplit_operator.resources.workloads import stage_resources

CONTAINER = "job"
TRIES = 5
EXIT_BAD_INPUT = 2
CLAIMS_DIR = "/var/lib/tiersplit/pvc"
_CLAIM = "pvc://"
_MODEL = ("--model", f"{MODEL_DIR}/model.json")
_SERVING_BYTES = 288 * 2**20
"""Two stages that compute nothing, and their client."""
_DEADLINES_S: Mapping[str, int] = {"import": 7200, "profile": 7200, "materialise": 7200}
_WORK_LIMIT = "32Gi"
_RESOURCES: Mapping[str, Mapping[str, str]] = {
    "requests": {"cpu": "250m", "memory": "512Mi"},
    "limits": {"cpu": "2", "memory": "8Gi"},
}


def import_job(context: Context, key: str, repository: str, tag: str) -> Tree:
    """The Job that imports the model and pushes it to `repository` (`HOST/PATH`) under `tag`."""
    arguments = ["import", *_MODEL, "--push", f"oci://{repository}", "--tag", tag]
    pod = _fetching(context, _importer(context, arguments), _addresses(context.resource.spec.model))
    placed = _placed(pod, context.resource.spec.import_)
    return _job(context, import_job_name(context.name, key), key, "import", placed)


def materialise_job(context: Context, key: str, bundle: str, tag: str, *, rates: bool = False) -> Tree:
    """The Job that cuts the segments of the surface of `bundle` (`oci://HOST/REPO@sha256:…`) and pushes under `tag`.

    Args:
        context: for whom.
        key: names the result.
        bundle: has the surface.
        tag: under which the bundle with segments is found.
        rates: it measures the accuracy of the surface's plans too; nothing else needs the model's data and secrets.
    """
    arguments = ["materialise", "--bundle", bundle, "--push-tag", tag, *(_MODEL if rates else ())]
    container = _importer(context, arguments)
    if rates:
        pod = _fetching(context, container, [context.resource.spec.model.validation.uri])
    else:
        pod = _pod(context, container, [])
    placed = _placed(pod, context.resource.spec.import_)
    return _job(context, materialise_job_name(context.name, key), key, "materialise", placed)


def profile_job(context: Context, tier: Tier, request: ProfileRequest) -> Tree:
    """The Job that measures on one tier: its nodes, its limits and its template, as its stages have them.

    Only its memory is more: two small stages stand beside the measuring process while serving is measured.

    Raises:
        ManifestError: a quantity of the tier's resources is none.
    """
    container = _container(context, context.settings.stage_image, ["python", "-m", "tiersplit_stage.measure_job"])
    container["args"] = _profile_arguments(context, tier, request)
    container["resources"] = _with_room(stage_resources(tier, 0))
    pod = _pod(context, container, [])
    if tier.node_selector:
        pod["nodeSelector"] = dict(tier.node_selector)
    theirs = tier.template.get("spec", {})
    kept = {key: value for key, value in theirs.items() if key not in {"containers", "initContainers", "volumes"}}
    name = profile_job_name(context.name, tier.name, request.key)
    return _job(context, name, request.key, "profile", merged(pod, kept), tier.name)


def _profile_arguments(context: Context, tier: Tier, request: ProfileRequest) -> list[str]:
    found = ["--bundle", request.bundle, "--tier", tier.name, "--threads", str(request.threads)]
    found += ["--batches", ",".join(map(str, request.batches)), "--push-tag", request.tag]
    found += ["--segments", ",".join(request.segments)] if request.segments else []
    found += ["--forms", ",".join(request.forms) or "none", "--serving-bytes", str(_SERVING_BYTES)]
    if tier.memory is not None:
        found += ["--memory-bytes", str(parse_quantity(tier.memory))]
    return found + registry_arguments(context, MODEL_DIR)


def _with_room(resources: Tree) -> Tree:
    limits = resources["limits"]
    stage_bytes = limit_of(resources, "memory", "limits") or 0
    return {**resources, "limits": {**limits, "memory": in_mebibytes(float(stage_bytes + _SERVING_BYTES))}}


def _importer(context: Context, arguments: Sequence[str]) -> Tree:
    wanted = context.resource.spec.import_
    image = wanted.image or context.settings.import_image
    container = _container(context, image, ["python", "-m", "tiersplit_import.job"])
    container["args"] = [*arguments, *registry_arguments(context, MODEL_DIR)]
    container["resources"] = merged(_RESOURCES, wanted.resources)
    return container


def _container(context: Context, image: str, command: Sequence[str]) -> Tree:
    _, _, environment = registry_credentials(context)
    home = [{"name": name, "value": "/tmp"} for name in ("HOME", "TMPDIR")]  # noqa: S108
    return {
        "name": CONTAINER,
        "image": image,
        "imagePullPolicy": context.settings.image_pull_policy,
        "command": list(command),
        "env": [*home, *environment],
        "securityContext": dict(CONTAINER_SECURITY),
        "terminationMessagePolicy": "File",
    }


def _pod(context: Context, container: Tree, mounted: Sequence[tuple[Tree, Tree]]) -> Tree:
    """A pod around `container`, with the model's ConfigMap, room to work in, and further volumes with their mounts."""
    tmp, tmp_mount = scratch(_WORK_LIMIT)
    model = {"name": "model", "configMap": {"name": model_name(context.name)}}
    model_mount = {"name": "model", "mountPath": MODEL_DIR, "readOnly": True}
    volumes, mounts, _ = registry_credentials(context)
    container["volumeMounts"] = [model_mount, tmp_mount, *mounts, *(mount for _, mount in mounted)]
    return {
        "restartPolicy": "Never",
        "serviceAccountName": account_name(context.name),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": dict(POD_SECURITY),
        "containers": [container],
        "volumes": [model, tmp, *volumes, *(volume for volume, _ in mounted)],
    }


def _placed(pod: Tree, importing: Import) -> Tree:
    """`pod` where imports may run, and with what their image is pulled."""
    secrets = [{"name": secret.name} for secret in importing.image_pull_secrets]
    nodes = {"nodeSelector": dict(importing.node_selector)} if importing.node_selector else {}
    return {**pod, **nodes, **({"imagePullSecrets": secrets} if secrets else {})}


def _fetching(context: Context, container: Tree, addresses: Iterable[str | None]) -> Tree:
    """A pod that can fetch what `addresses` name: with their claims, and the import's own volumes and environment."""
    importing = context.resource.spec.import_
    pod = _pod(context, container, [*_claims(addresses), *_extra_volumes(context)])
    container["env"] += [item.model_dump(by_alias=True, exclude_none=True) for item in importing.env]
    return pod


def _extra_volumes(context: Context) -> list[tuple[Tree, Tree]]:
    """The import's own volumes; each has its `mountPath` (and `readOnly`, `subPath`) beside the core fields."""
    found = []
    for i, given in enumerate(context.resource.spec.import_.volumes):
        name = str(given.get("name", f"volume-{i}"))
        mount: Tree = {key: given[key] for key in ("mountPath", "readOnly", "subPath") if key in given}
        volume: Tree = {key: value for key, value in given.items() if key not in mount}
        found.append(({**volume, "name": name}, {**mount, "name": name}))
    return found


def _addresses(model: Model) -> list[str | None]:
    """All that an import fetches."""
    source = model.source
    weights = source.torch.weights_uri if source.torch is not None else None
    own = [source.exported_program_uri, source.onnx_uri, source.bundle, weights]
    return [*own, model.calibration.uri, model.validation.uri]


def _claims(addresses: Iterable[str | None]) -> list[tuple[Tree, Tree]]:
    """The claims that `pvc://CLAIM/PATH` addresses name, read-only."""
    names = sorted({uri.removeprefix(_CLAIM).split("/")[0] for uri in addresses if uri and uri.startswith(_CLAIM)})
    return [_claim(i, name) for i, name in enumerate(names)]


def _claim(position: int, claim: str) -> tuple[Tree, Tree]:
    name = f"claim-{position}"
    volume = {"name": name, "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
    return volume, {"name": name, "mountPath": f"{CLAIMS_DIR}/{claim}", "readOnly": True}


def _job(context: Context, name: str, key: str, step: str, pod: Tree, tier: str = "") -> Tree:
    labels = context.labels(tier, step)
    about: Tree = {"labels": labels, "annotations": {KEY_ANNOTATION: key}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata(context, name, labels, annotations={KEY_ANNOTATION: key}),
        "spec": {
            "backoffLimit": TRIES - 1,
            "activeDeadlineSeconds": _DEADLINES_S[step],
            "podFailurePolicy": {"rules": _failure_rules()},
            "template": {"metadata": about, "spec": pod},
        },
    }


def _failure_rules() -> list[Tree]:
    """Wrong input does not get better by trying again; an evicted pod is no failed try."""
    bad_input = {"containerName": CONTAINER, "operator": "In", "values": [EXIT_BAD_INPUT]}
    return [
        {"action": "FailJob", "onExitCodes": bad_input},
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
    ]
