"""TLS from a directory that somebody else keeps fresh: cert-manager's layout, in which the kubelet swaps a link.

Servers take what lies there with every handshake and channels with every dial, so that certificates rotate without a
restart and connections that stand go on. Files that are half written, expired or do not belong together change nothing.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from tiersplit_core.errors import InputError

CHAIN_FILE, KEY_FILE, AUTHORITIES_FILE = "tls.crt", "tls.key", "ca.crt"
_MAX_FILE_BYTES = 2**20
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Certificates:
    """What a process shows to its peers, and whom it trusts.

    Attributes:
        chain: its own certificate first, PEM.
        key: of that certificate, PEM; never shown.
        authorities: certificates that peers must descend from, PEM; empty where none are given.
        begins_at: second since the epoch at which its certificate becomes valid.
        expires_at: second since the epoch after which it is refused.
    """

    chain: bytes
    key: bytes = field(repr=False)
    authorities: bytes
    begins_at: float
    expires_at: float


def parse_certificates(chain: bytes, key: bytes, authorities: bytes) -> Certificates:
    """Check that the three belong together.

    Raises:
        InputError: one is no PEM of its kind, or the key is another certificate's; `path` names the file.
    """
    own = _parse_chain(chain, CHAIN_FILE)[0]
    if authorities:
        _parse_chain(authorities, AUTHORITIES_FILE)
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    try:
        fitting = load_pem_private_key(key, None).public_key().public_bytes(*form)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InputError("expected an unencrypted private key in PEM", KEY_FILE) from error
    if fitting != own.public_key().public_bytes(*form):
        raise InputError(f"is not the key of {CHAIN_FILE}'s first certificate", KEY_FILE)
    begins, expires = own.not_valid_before_utc, own.not_valid_after_utc
    return Certificates(chain, key, authorities, begins.timestamp(), expires.timestamp())


class TlsDirectory:
    """The certificates in a directory as they are now, or as they last were good; safe to use from any thread.

    Args:
        folder: holds `tls.crt`, `tls.key` and, for mutual TLS, `ca.crt`.
        clock: seconds since the epoch.
        look_s: how often files are looked at, at most.

    Raises:
        InputError: there is nothing good to begin with; `path` names the file.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time, look_s: float = 1.0) -> None:
        self._folder, self._clock, self._look_s = folder, clock, look_s
        self._lock = threading.Lock()
        self._looked_at = time.monotonic()
        self._stamp, self._certificates = self._read()
        self._complaint = ""

    @property
    def certificates(self) -> Certificates:
        """The newest good ones; files that changed are noticed within a second."""
        with self._lock:
            if time.monotonic() - self._looked_at >= self._look_s:
                self._looked_at = time.monotonic()
                self._look()
            return self._certificates

    def expires_in_s(self) -> float:
        """Seconds until the certificate that is shown expires; negative once it has."""
        return self.certificates.expires_at - self._clock()

    def server_credentials(self, *, mutual: bool) -> grpc.ServerCredentials:
        """Credentials of a server, looked up again with every handshake.

        Args:
            mutual: clients must show a certificate that descends from `ca.crt`.

        Raises:
            InputError: `mutual`, and there is no `ca.crt`.
        """
        if mutual and not self.certificates.authorities:
            raise InputError("is missing; mutual TLS needs the authority that peers descend from", AUTHORITIES_FILE)
        shown = self.certificates

        def changed() -> grpc.ServerCertificateConfiguration | None:
            nonlocal shown
            before, shown = shown, self.certificates
            return None if shown is before else _server_form(shown)

        return grpc.dynamic_ssl_server_credentials(_server_form(shown), changed, mutual)

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """Credentials of a client that shows its certificate; for one dial."""
        found = self.certificates
        return grpc.ssl_channel_credentials(found.authorities or None, found.key, found.chain)

    def _look(self) -> None:
        try:
            if self._files_stamp(self._resolved()) == self._stamp:
                return
            self._stamp, self._certificates = self._renewed()
        except InputError as error:
            if str(error) != self._complaint:
                _log.warning(
                    "the certificates in %s are not taken, the last good ones serve on: %s", self._folder, error
                )
            self._complaint = str(error)
        else:
            self._complaint = ""
            _log.info("the certificates in %s changed and are taken", self._folder)

    def _renewed(self) -> tuple[object, Certificates]:
        stamp, found = self._read()
        if self._certificates.authorities and not found.authorities:
            # Without them a dial would trust whom the machine trusts.
            raise InputError("is gone", AUTHORITIES_FILE)
        return stamp, found

    def _read(self) -> tuple[object, Certificates]:
        """The files of one moment.

        Raises:
            InputError: they cannot be read, do not belong together, are not valid now, or changed meanwhile.
        """
        folder = self._resolved()
        before = self._files_stamp(folder)
        chain, key = (_content(folder / name) for name in (CHAIN_FILE, KEY_FILE))
        authorities = _content(folder / AUTHORITIES_FILE) if (folder / AUTHORITIES_FILE).exists() else b""
        found = parse_certificates(chain, key, authorities)
        if not found.begins_at <= self._clock() < found.expires_at:
            raise InputError("is expired, or not valid yet", CHAIN_FILE)
        if self._files_stamp(folder) != before:
            raise InputError("changed while it was read", CHAIN_FILE)
        return before, found

    def _resolved(self) -> Path:
        """What the kubelet's link points at now: three files of one version, whatever it is swapped for meanwhile."""
        link = self._folder / "..data"
        return link.resolve() if link.exists() else self._folder

    def _files_stamp(self, folder: Path) -> object:
        return folder, tuple(_file_stamp(folder / name) for name in (CHAIN_FILE, KEY_FILE, AUTHORITIES_FILE))


def _parse_chain(data: bytes, name: str) -> list[x509.Certificate]:
    try:
        found = x509.load_pem_x509_certificates(data)
        found[0].public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputError("expected certificates in PEM", name) from error
    return found


def _server_form(found: Certificates) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(found.key, found.chain)], found.authorities or None)


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_FILE_BYTES)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", path.name) from error


def _file_stamp(path: Path) -> object:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
