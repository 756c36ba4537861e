"""A certificate authority of the cluster's own, and certificates that it signs, made by `openssl`."""

import base64
import json
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.layout import ClusterError

VALID_DAYS = 365
# Without a configuration of its own openssl would take the machine's, which marks every certificate as an authority.
_CONFIGURATION = "[req]\ndistinguished_name = name\nprompt = no\n[name]\n"


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its key, as PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Authority:
    """A folder with an authority in it and all that it signed."""

    folder: Path

    @property
    def certificate(self) -> Path:
        """What its clients and servers trust."""
        return self.folder / "ca.crt"

    @property
    def key(self) -> Path:
        """What signs."""
        return self.folder / "ca.key"

    def create(self) -> None:
        """Make the authority; one that is there stays."""
        if self.certificate.exists():
            return
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._make("ca", "/CN=tiersplit-test-ca", ["basicConstraints=critical,CA:TRUE", "keyUsage=keyCertSign"], [])

    def client(self, name: str, user: str, groups: Iterable[str] = ()) -> Certificate:
        """A certificate by which the API server knows its holder as a user of groups; one that is there stays."""
        subject = "".join(f"/O={group}" for group in groups) + f"/CN={user}"
        return self._leaf(name, subject, ["extendedKeyUsage=clientAuth"])

    def server(self, name: str, user: str, names: Iterable[str], groups: Iterable[str] = ()) -> Certificate:
        """A certificate for a server under names such as `IP:127.0.0.1` and `DNS:localhost`, for clients' use too."""
        subject = "".join(f"/O={group}" for group in groups) + f"/CN={user}"
        extensions = ["extendedKeyUsage=serverAuth,clientAuth", f"subjectAltName={','.join(names)}"]
        return self._leaf(name, subject, extensions)

    def signing_key(self, name: str) -> Path:
        """A key alone, for signing tokens, in the one form that the API server reads."""
        path = self.folder / f"{name}.key"
        if not path.exists():
            _openssl(["ecparam", "-genkey", "-noout", "-name", "prime256v1", "-out", str(path)])
        return path

    def _leaf(self, name: str, subject: str, extensions: list[str]) -> Certificate:
        made = Certificate(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        if not made.certificate.exists():
            signer = ["-CA", str(self.certificate), "-CAkey", str(self.key)]
            self._make(name, subject, ["basicConstraints=critical,CA:FALSE", *extensions], signer)
        return made

    def _make(self, name: str, subject: str, extensions: list[str], signer: list[str]) -> None:
        # The certificate is written last, so a key without one means that this was cut short.
        certificate, key = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        added = [word for extension in extensions for word in ("-addext", extension)]
        command = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-sha256"]
        files = ["-config", "/dev/stdin", "-keyout", str(key), "-out", str(certificate)]
        _openssl([*command, *files, "-days", str(VALID_DAYS), "-subj", subject, *added, *signer])


def write_kubeconfig(path: Path, server: str, authority: Authority, user: Certificate) -> None:
    """Write a kubeconfig with all it needs inside it, readable by its owner alone."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "tiersplit",
        "clusters": [
            {
                "name": "tiersplit",
                "cluster": {"server": server, "certificate-authority-data": _data(authority.certificate)},
            }
        ],
        "users": [
            {
                "name": "tiersplit",
                "user": {"client-certificate-data": _data(user.certificate), "client-key-data": _data(user.key)},
            }
        ],
        "contexts": [{"name": "tiersplit", "context": {"cluster": "tiersplit", "user": "tiersplit"}}],
    }
    unfinished = path.with_name(path.name + ".tmp")
    unfinished.touch(mode=0o600)
    unfinished.write_text(json.dumps(document, indent=1))
    unfinished.replace(path)


def _data(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _openssl(arguments: list[str]) -> None:
    done = subprocess.run(["openssl", *arguments], input=_CONFIGURATION, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise ClusterError(f"openssl {arguments[0]} failed: {done.stderr.strip()}")
