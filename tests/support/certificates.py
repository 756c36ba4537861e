"""Certificates that tests make for themselves, in the layout in which cert-manager and the kubelet leave them."""

import datetime
import ipaddress
import itertools
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_versions = itertools.count()


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _subject_name(text):
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, PEM."""

    chain: bytes
    key: bytes


@dataclass
class Authority:
    """Makes certificates that descend from one root."""

    name: str = "authority"
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __post_init__(self):
        extension = x509.BasicConstraints(ca=True, path_length=None)
        self.certificate = self._builder(self.name, self.key, 10.0).add_extension(extension, critical=True)
        self.certificate = self.certificate.sign(self.key, hashes.SHA256())

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, *names: str, days: float = 10.0) -> Pair:
        """A certificate made out to DNS names and addresses that is valid for `days` from now (negative: expired)."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder("leaf", key, days)
        subject = x509.SubjectAlternativeName([_subject_name(name) for name in names])
        made = builder.add_extension(subject, critical=False).sign(self.key, hashes.SHA256())
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return Pair(made.public_bytes(serialization.Encoding.PEM), key.private_bytes(*form))

    def _builder(self, name, key, days):
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(_name(self.name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=30))
            .not_valid_after(now + datetime.timedelta(days=days))
        )


def write_secret(folder: Path, pair: Pair, authorities: bytes) -> Path:
    """Put a Secret's files where a pod sees them, as the kubelet does: a folder per version and a link to swap."""
    version = folder / f"..version-{next(_versions)}"
    version.mkdir(parents=True)
    for name, data in (("tls.crt", pair.chain), ("tls.key", pair.key), ("ca.crt", authorities)):
        (version / name).write_bytes(data)
        link = folder / name
        if not link.is_symlink():
            link.symlink_to(Path("..data") / name)
    swapped = folder / "..data_tmp"
    swapped.symlink_to(version.name)
    swapped.replace(folder / "..data")
    return folder
