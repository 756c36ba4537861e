"""What a registry wants to see before it answers: basic credentials, or a token for them (RFC 6750, docker's flow)."""

import json
import re
from collections.abc import Callable, Mapping

import httpx

from tiersplit_bundle.access import Credentials
from tiersplit_core.errors import OperationError

_PARAMETER = re.compile(r'([A-Za-z_]+)="([^"]*)"')
_CLIENT = "tiersplit"

Send = Callable[[httpx.Request], tuple[int, bytes]]


class Authorization:
    """Answers challenges and remembers what was accepted, per kind of access.

    Args:
        send: sends a request for a token; the answer's status and (bounded) body.
        credentials: of the registry; None asks for anonymous tokens.
        host: the registry, for errors.
    """

    def __init__(self, send: Send, credentials: Credentials | None, host: str) -> None:
        self._send = send
        self._credentials = credentials
        self._host = host
        self._accepted: dict[str, str] = {}

    def header(self, kind: str) -> Mapping[str, str]:
        """What a request of this kind (`pull`, `push`, …) carries as far as it is known."""
        found = self._accepted.get(kind)
        return {} if found is None else {"Authorization": found}

    def answer(self, kind: str, challenge: str) -> None:
        """Do what a 401's `WWW-Authenticate` asks for.

        Raises:
            OperationError: there is nothing to answer with, or the token server refuses.
        """
        scheme = challenge.partition(" ")[0].lower()
        if scheme == "bearer":
            self._accepted[kind] = "Bearer " + self._token(dict(_PARAMETER.findall(challenge)))
        elif scheme == "basic" and self._credentials is not None and self._credentials.user:
            self._accepted[kind] = self._credentials.basic
        else:
            raise self.refused()

    def refused(self) -> OperationError:
        """The error where the registry does not accept who asks."""
        what = "has no credentials for it" if self._credentials is None else "has credentials that it refuses"
        return OperationError(
            f"the registry {self._host} asks who you are, and docker's configuration {what}; "
            f"write auths[{self._host}] into config.json under DOCKER_CONFIG, or run `docker login {self._host}`"
        )

    def _token(self, parameters: Mapping[str, str]) -> str:
        realm = httpx.URL(parameters.get("realm", ""))
        if realm.scheme not in {"https", "http"}:
            raise OperationError(f"the registry {self._host} names no address at which it gives tokens")
        asked = {key: parameters[key] for key in ("service", "scope") if key in parameters}
        status, body = self._send(self._request(realm, asked))
        token = _token_of(body) if status == 200 else ""
        if status in {401, 403}:
            raise self.refused()
        if not token:
            raise OperationError(f"{realm.host} answered {status} instead of a token for {self._host}")
        return token

    def _request(self, realm: httpx.URL, asked: Mapping[str, str]) -> httpx.Request:
        known = self._credentials
        if known is not None and known.identity_token:
            form = {**asked, "grant_type": "refresh_token", "refresh_token": known.identity_token, "client_id": _CLIENT}
            return httpx.Request("POST", realm, data=form)
        headers = {"Authorization": known.basic} if known is not None else {}
        return httpx.Request("GET", realm.copy_merge_params(asked), headers=headers)


def _token_of(body: bytes) -> str:
    try:
        value = json.loads(body)
    except ValueError:
        return ""
    found = (value.get("token") or value.get("access_token")) if isinstance(value, dict) else None
    return found if isinstance(found, str) and found.isascii() and found.isprintable() else ""
