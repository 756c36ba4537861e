"""`python -m tests.cluster.images`: the project's images, from its own Dockerfiles, in the cluster's registry.

No registry of images is reachable where this runs, so the images that Dockerfiles start from are made of Debian's
packages and given the names that stand in `FROM`. What did not change since the last build is not built again.
"""

import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.cluster.layout import REGISTRY, REGISTRY_ADDRESS, ClusterError, cache

ROOT = Path(__file__).parents[2]
PYTHON_BASE = "docker.io/library/python:3.11-slim-bookworm"
TIMEOUT_S = 1500
NEEDED_BYTES = 15 * 10**9
"""What a build of all images may take on disk."""
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


@dataclass(frozen=True, slots=True)
class Image:
    """An image of the project.

    Attributes:
        name: under which it is pushed.
        dockerfile: from the repository's root.
        arguments: for its `ARG`s.
        limit_bytes: what it may take unpacked; 0: whatever it takes.
    """

    name: str
    dockerfile: str
    arguments: tuple[str, ...] = ()
    limit_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Base:
    """An image made of Debian's packages, under the name that others know it by."""

    name: str
    packages: tuple[str, ...]


STAGE = Image("stage", "services/tiersplit_stage/Dockerfile", limit_bytes=450 * 10**6)
OPERATOR = Image("operator", "operator/tiersplit_operator/Dockerfile", limit_bytes=600 * 10**6)
IMPORT = Image("import", "services/tiersplit_import/Dockerfile")
TORCH = Image("import-torch", "services/tiersplit_import/Dockerfile", ("LOCK=requirements-torch.lock",))
IMAGES = (STAGE, OPERATOR, IMPORT)
PYTHON = Base(PYTHON_BASE, ("python3", "python3-venv", "ca-certificates"))
REGISTRY_BASE = Base("docker.io/library/registry:2", ("docker-registry", "ca-certificates"))
_SOURCES = ("pyproject.toml", "README.md", "LICENSE", "operator", "services")


def build(images: tuple[Image, ...] = IMAGES) -> dict[str, str]:
    """Build and push what changed; the reference of each image by its name.

    Raises:
        ClusterError: a build or push failed, or an image is larger than it may be.
    """
    built = {image.name: _reference(image) for image in images}
    for image in images:
        if not pushed(built[image.name]):
            _base(PYTHON)
            _build(image, built[image.name])
            _push(built[image.name])
            _forget_older(built[image.name])
    return built


def _forget_older(reference: str) -> None:
    """Builds before this one go; the layers that later builds begin with go too, but only where the disk is short."""
    name = reference.rpartition(":")[0]
    older = [known for known in _local_names() if known.rpartition(":")[0] == name and not known.startswith(reference)]
    for known in older:
        _buildah("rmi", "--force", known)
    if shutil.disk_usage(cache()).free < NEEDED_BYTES:
        _buildah("rmi", "--prune", "--force")


def registry_image() -> str:
    """The reference of an image that runs a registry, as the chart's own one does."""
    reference = f"{REGISTRY}/library/registry:2"
    if not pushed(reference):
        _base(REGISTRY_BASE)
        _buildah("tag", REGISTRY_BASE.name, reference)
        _push(reference)
    return reference


def variant(image: Image, reference: str, label: str) -> str:
    """The same image under another digest and tag, as a later version would be: it carries one more label."""
    made = f"{reference}-{label}"
    if not pushed(made):
        _fetch(reference)
        container = _buildah("from", "--pull-never", reference).strip()
        try:
            _buildah("config", "--label", f"tiersplit.test/variant={label}", container)
            _buildah("commit", "--rm", container, made)
        except ClusterError:
            _buildah("rm", container)
            raise
        _push(made)
    return made


def pushed(reference: str) -> bool:
    """Whether the registry has it.

    Raises:
        ClusterError: the registry does not answer.
    """
    repository, _, tag = reference.removeprefix(f"{REGISTRY}/").rpartition(":")
    accepted = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
    try:
        url = f"http://{REGISTRY_ADDRESS}/v2/{repository}/manifests/{tag}"
        answer = httpx.head(url, headers={"Accept": accepted}, timeout=10, trust_env=False)
    except httpx.HTTPError as error:
        raise ClusterError(f"the cluster's registry does not answer ({error}); run make cluster-up") from error
    return answer.status_code == httpx.codes.OK


def _reference(image: Image) -> str:
    """Named by the content it is built from, so that an unchanged tree finds its images again."""
    digest = hashlib.sha256(json.dumps([image.dockerfile, image.arguments, PYTHON.packages]).encode())
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *_SOURCES],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in sorted(listed.stdout.splitlines()):
        path = ROOT / name
        if path.is_file() and _goes_in(name, image):
            digest.update(name.encode() + b"\0" + path.read_bytes())
    return f"{REGISTRY}/tiersplit/{image.name}:{digest.hexdigest()[:12]}"


def _goes_in(name: str, image: Image) -> bool:
    """Lock files and Dockerfiles of other images change nothing in this one."""
    own = name.startswith(str(Path(image.dockerfile).parent))
    return own or not name.endswith((".lock", "Dockerfile"))


def _base(base: Base) -> None:
    if base.name in _local_names():
        return
    _say(f"making {base.name} of Debian's packages")
    with tempfile.TemporaryDirectory(prefix="tiersplit-base-") as folder:
        archive = Path(folder) / "base.tar"
        command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(base.packages)}"]
        command += ["--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*"]
        _run([*command, "bookworm", str(archive)])
        container = _buildah("from", "scratch").strip()
        try:
            _buildah("add", container, str(archive), "/")
            _buildah("config", "--env", "PATH=/usr/local/bin:/usr/bin:/bin", "--env", "LANG=C.UTF-8", container)
            _buildah("commit", "--rm", container, base.name)
        except ClusterError:
            _buildah("rm", container)
            raise


def _local_names() -> set[str]:
    listed = json.loads(_buildah("images", "--json") or "[]") or []
    return {name for image in listed for name in image.get("names") or ()}


def _build(image: Image, reference: str) -> None:
    _say(f"building {reference}")
    command = ["bud", "--layers", "--isolation", "chroot", "--network", "host", "--ignorefile", ".containerignore"]
    command += [part for argument in image.arguments for part in ("--build-arg", argument)]
    with tempfile.TemporaryDirectory(prefix="tiersplit-build-") as folder:
        _buildah(*command, *_package_access(Path(folder)), "-f", image.dockerfile, "-t", reference, ".")
    size = unpacked_bytes(reference)
    _say(f"{image.name} takes {size / 10**6:.0f} MB unpacked")
    if image.limit_bytes and size > image.limit_bytes:
        raise ClusterError(f"image {image.name} takes {size} bytes unpacked, more than {image.limit_bytes}")


def unpacked_bytes(reference: str) -> int:
    """What an image takes on a node's disk."""
    container = _buildah("from", "--pull-never", reference).strip()
    try:
        folder = Path(_buildah("mount", container).strip())
        counted = _run(["du", "--summarize", "--bytes", "--one-file-system", str(folder)])
        return int(counted.split()[0])
    finally:
        _buildah("umount", container)
        _buildah("rm", container)


def _package_access(folder: Path) -> list[str]:
    """This machine's way to the package registry, mounted for the build alone: nothing of it stays in the image."""
    settings = {"timeout": os.environ.get("PIP_DEFAULT_TIMEOUT", "60"), "cert": str(CERTIFICATES)}
    for line in _run([sys.executable, "-m", "pip", "config", "list"]).splitlines():
        name, _, value = line.partition("=")
        if name.rpartition(".")[2] in ("index-url", "extra-index-url"):
            settings[name.rpartition(".")[2]] = value.strip("'").replace("\\n", " ")
    pip = folder / "pip.conf"
    pip.write_text("\n".join(["[global]", *(f"{name} = {value}" for name, value in settings.items())]) + "\n")
    found = ["--volume", f"{pip}:/etc/pip.conf:ro"]
    return [*found, "--volume", f"{CERTIFICATES}:{CERTIFICATES}:ro"] if CERTIFICATES.exists() else found


def _push(reference: str) -> None:
    _say(f"pushing {reference}")
    _buildah("push", "--tls-verify=false", "--format", "oci", reference, f"docker://{_reached(reference)}")


def _fetch(reference: str) -> None:
    """What was built before may lie in the registry alone."""
    if reference not in _local_names():
        fetched = _buildah("pull", "--quiet", "--tls-verify=false", f"docker://{_reached(reference)}").strip()
        _buildah("tag", fetched, reference)


def _reached(reference: str) -> str:
    """The cluster's name for the registry is known to its nodes alone."""
    return reference.replace(REGISTRY, REGISTRY_ADDRESS, 1)


def _buildah(*arguments: str) -> str:
    if shutil.which("buildah") is None:
        raise ClusterError("buildah builds the images, and it is not on the PATH; make cluster-up installs it")
    return _run(["nice", "-n", "5", "buildah", *_storage(_driver()), *arguments])


@functools.cache
def _driver() -> str:
    """Layers share their files where the disk's file system allows it; else each is a whole copy."""
    try:
        _run(["buildah", *_storage("overlay"), "info"])
    except ClusterError:
        return "vfs"
    return "overlay"


def _storage(driver: str) -> list[str]:
    root = cache() / "buildah" / driver
    return ["--storage-driver", driver, "--root", str(root / "storage"), "--runroot", str(root / "run")]


def _run(command: list[str]) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-3000:]
        raise ClusterError(f"{' '.join(command[:12])} … failed:\n{said}")
    return done.stdout


def _say(text: str) -> None:
    print(f"images: {text}", file=sys.stderr)


def main() -> int:
    """Build, push, and print what each image is called."""
    try:
        for name, reference in build().items():
            print(f"{name:10} {reference}")
    except ClusterError as error:
        print(f"images: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
