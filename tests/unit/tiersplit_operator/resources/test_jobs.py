import json

from tests.support.operator_context import IMAGE, IMPORT_IMAGE, context
from tiersplit_operator.resources.configmaps import model_config_map
from tiersplit_operator.resources.context import ProfileRequest
from tiersplit_operator.resources.jobs import import_job, materialise_job, profile_job

KEY = "0123456789abcdef"
BUNDLE = "oci://registry.test:5000/tiersplit/m@sha256:" + "a" * 64


def spec_of(job):
    return job["spec"]["template"]["spec"]


def container_of(job):
    return spec_of(job)["containers"][0]


def request(**changes):
    return ProfileRequest(
        **{"key": KEY, "bundle": BUNDLE, "tag": "profile-x", "threads": 2, "batches": (1, 8), **changes}
    )


def test_wrong_input_fails_at_once_and_an_eviction_is_no_try():
    rules = import_job(context(), KEY, "r/m", "import-x")["spec"]["podFailurePolicy"]["rules"]
    assert rules[0]["action"] == "FailJob"
    assert rules[0]["onExitCodes"] == {"containerName": "job", "operator": "In", "values": [2]}
    assert rules[1]["action"] == "Ignore"


def test_an_import_reads_what_the_manifest_declares_and_pushes_under_its_tag():
    job = import_job(context(), KEY, "registry.test:5000/tiersplit/m", "import-x")
    assert job["metadata"]["name"] == "digits-import-01234567"
    assert container_of(job)["image"] == IMPORT_IMAGE
    assert container_of(job)["args"][:7] == [
        "import",
        "--model",
        "/etc/tiersplit/model/model.json",
        "--push",
        "oci://registry.test:5000/tiersplit/m",
        "--tag",
        "import-x",
    ]
    told = json.loads(model_config_map(context())["data"]["model.json"])
    assert told["name"] == "digits"
    assert told["model"]["source"] == {"onnxUri": "pvc://models/digits.onnx"}


def test_claims_that_addresses_name_are_mounted_read_only():
    job = import_job(context(), KEY, "r/m", "t")
    claims = [v["persistentVolumeClaim"] for v in spec_of(job)["volumes"] if "persistentVolumeClaim" in v]
    assert claims == [{"claimName": "models", "readOnly": True}]
    paths = [mount["mountPath"] for mount in container_of(job)["volumeMounts"]]
    assert "/var/lib/tiersplit/pvc/models" in paths


def test_the_users_image_environment_and_volumes_belong_to_the_import_alone():
    wanted = {
        "image": "shop/models:3",
        "imagePullSecrets": [{"name": "shop"}],
        "env": [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "token"}}}],
        "volumes": [{"name": "data", "mountPath": "/data", "secret": {"secretName": "hub"}}],
    }
    about = context(**{"import": wanted})
    job = import_job(about, KEY, "r/m", "t")
    assert container_of(job)["image"] == "shop/models:3"
    assert spec_of(job)["imagePullSecrets"] == [{"name": "shop"}]
    assert {"name": "data", "secret": {"secretName": "hub"}} in spec_of(job)["volumes"]
    assert {"name": "data", "mountPath": "/data"} in container_of(job)["volumeMounts"]
    other = materialise_job(about, KEY, BUNDLE, "t")
    assert "TOKEN" not in {item["name"] for item in container_of(other)["env"]}


def test_rating_plans_needs_the_validation_data_and_cutting_alone_does_not():
    model = {"source": {"onnxUri": "pvc://models/m.onnx"}, "validation": {"uri": "pvc://data/v.npz"}}
    secret = {"name": "data", "mountPath": "/data", "secret": {"secretName": "hub"}}
    importing = {"env": [{"name": "AWS_REGION", "value": "eu"}], "volumes": [secret]}
    about = context(model=model, **{"import": importing})
    rating, cutting = (materialise_job(about, KEY, BUNDLE, "t", rates=rates) for rates in (True, False))
    arguments = container_of(rating)["args"]
    assert arguments[arguments.index("--model") + 1] == "/etc/tiersplit/model/model.json"
    claims = [
        v["persistentVolumeClaim"]["claimName"]
        for v in spec_of(rating)["volumes"]
        if len(v) > 1 and "persistentVolumeClaim" in v
    ]
    assert claims == ["data"]
    assert {"name": "data", "mountPath": "/data"} in container_of(rating)["volumeMounts"]
    assert {"name": "AWS_REGION", "value": "eu"} in container_of(rating)["env"]
    assert "--model" not in container_of(cutting)["args"]
    assert not {"AWS_REGION"} & {item["name"] for item in container_of(cutting)["env"]}
    assert {volume["name"] for volume in spec_of(cutting)["volumes"]} == {"model", "tmp"}


def test_a_profile_runs_as_the_tiers_stages_do():
    tier = {
        "name": "mdc",
        "nodeSelector": {"pool": "mdc"},
        "memory": "128Mi",
        "resources": {"limits": {"cpu": "1500m"}},
        "template": {"spec": {"tolerations": [{"key": "mdc", "operator": "Exists"}]}},
    }
    about = context(tiers=[{"name": "edge"}, tier])
    job = profile_job(about, about.resource.spec.tiers[1], request(segments=("a", "b")))
    assert spec_of(job)["nodeSelector"] == {"pool": "mdc"}
    assert spec_of(job)["tolerations"] == [{"key": "mdc", "operator": "Exists"}]
    assert container_of(job)["image"] == IMAGE
    assert container_of(job)["resources"]["limits"]["cpu"] == "1500m"
    arguments = container_of(job)["args"]
    assert arguments[arguments.index("--batches") + 1] == "1,8"
    assert arguments[arguments.index("--segments") + 1] == "a,b"
    assert arguments[arguments.index("--memory-bytes") + 1] == str(128 * 2**20)
    assert job["metadata"]["labels"]["tiersplit.dev/tier"] == "mdc"


def test_where_imports_may_run_says_nothing_about_profiles():
    about = context(**{"import": {"nodeSelector": {"pool": "big"}}})
    assert spec_of(materialise_job(about, KEY, BUNDLE, "t"))["nodeSelector"] == {"pool": "big"}
    assert "nodeSelector" not in spec_of(profile_job(about, about.resource.spec.tiers[2], request()))


def test_the_longest_names_fit_what_kubernetes_takes():
    about = context(tiers=[{"name": "t" * 16}])
    job = profile_job(about, about.resource.spec.tiers[0], request())
    assert len(job["metadata"]["name"]) <= 63


def test_programs_read_their_own_certificate_of_the_registry_and_no_token_of_the_cluster():
    from tiersplit_operator.settings import RegistrySettings  # noqa: PLC0415

    about = context({"registry": RegistrySettings("r.test/x", ca_pem="PEM")})
    job = materialise_job(about, KEY, BUNDLE, "t")
    arguments = container_of(job)["args"]
    assert arguments[arguments.index("--registry-ca") + 1] == "/etc/tiersplit/model/registry-ca.crt"
    assert model_config_map(about)["data"]["registry-ca.crt"] == "PEM"
    assert spec_of(job)["automountServiceAccountToken"] is False
