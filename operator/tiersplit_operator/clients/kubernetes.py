"""What the operator does with the Kubernetes API."""

import contextlib
from typing import Any, NamedTuple

from tiersplit_operator.clients.session import ApiError, Document, MissingError, RejectedError, Session

FIELD_MANAGER = "tiersplit"
PAGE = 250
MAX_PAGES = 400
__all__ = ["ApiError", "KubernetesClient", "RejectedError", "TokenIdentity"]


class TokenIdentity(NamedTuple):
    """Whom a projected token belongs to."""

    namespace: str
    pod: str
    pod_uid: str
    service_account: str


class KubernetesClient:
    """The operations, each bounded in time.

    Args:
        session: the connection.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    async def get(self, kind: str, namespace: str, name: str) -> Document | None:
        """The object, or None where there is none."""
        try:
            return await self._session.call("get", kind, {"name": name, "namespace": namespace})
        except MissingError:
            return None

    async def find(self, kind: str, namespace: str | None = None, labels: str = "", fields: str = "") -> list[Document]:
        """All objects of a kind, page by page; of all namespaces where none is given."""
        found: list[Document] = []
        options: dict[str, Any] = {"namespace": namespace, "limit": PAGE}
        options |= {"label_selector": labels or None, "field_selector": fields or None}
        for _ in range(MAX_PAGES):
            page = await self._session.call("get", kind, options)
            found += page.get("items") or []
            options["_continue"] = page.get("metadata", {}).get("continue")
            if not options["_continue"]:
                return found
        raise ApiError(f"list {kind}: more than {MAX_PAGES * PAGE} objects")

    async def apply(self, document: Document) -> Document:
        """Server-side apply: our fields become what `document` says, whoever else wrote them; other fields stay."""
        return await self._apply(document, "")

    async def apply_status(self, document: Document) -> Document:
        """The same for the status of a SplitDeployment. Own conditions that are left out are removed: send them all."""
        return await self._apply(document, "status")

    async def _apply(self, document: Document, subresource: str) -> Document:
        kind, metadata = document["kind"], document["metadata"]
        known = {"body": dict(document), "name": metadata["name"], "namespace": metadata.get("namespace")}
        known |= {"field_manager": FIELD_MANAGER, "force_conflicts": True}
        return await self._session.call("server_side_apply", kind, known, subresource)

    async def create(self, document: Document) -> Document:
        """Make an object; `ConflictError` where there is one of that name."""
        return await self._write("create", document)

    async def replace(self, document: Document) -> Document:
        """Write a whole object; its resourceVersion is the fence: `ConflictError` where it changed since."""
        return await self._write("replace", document)

    async def replace_config_map(self, document: Document) -> Document:
        """`replace`, for a ConfigMap."""
        return await self.replace(document)

    async def _write(self, verb: str, document: Document) -> Document:
        namespace = document["metadata"].get("namespace")
        options = {"body": dict(document), "namespace": namespace, "field_manager": FIELD_MANAGER}
        return await self._session.call(verb, document["kind"], options)

    async def merge(self, kind: str, namespace: str, name: str, change: Document) -> Document:
        """A merge patch."""
        options: dict[str, Any] = {
            "body": dict(change),
            "name": name,
            "namespace": namespace,
            "field_manager": FIELD_MANAGER,
        }
        options["content_type"] = "application/merge-patch+json"
        return await self._session.call("patch", kind, options)

    async def delete(self, kind: str, namespace: str, name: str, uid: str) -> None:
        """Delete the object that has this uid, its dependents in the background; one that is gone is fine."""
        body = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        options = {"name": name, "namespace": namespace, "body": {"kind": "DeleteOptions", "apiVersion": "v1", **body}}
        with contextlib.suppress(MissingError):
            await self._session.call("delete", kind, options)

    async def review_token(self, token: str, audience: str) -> TokenIdentity | None:
        """Whom a token belongs to; None where it is not good for the audience or belongs to no pod."""
        spec = {"token": token, "audiences": [audience]}
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
        answer = await self._session.call("create", "TokenReview", {"body": review})
        return _identity(answer.get("status") or {}, audience)

    async def get_lease(self, namespace: str, name: str) -> Document | None:
        """The Lease, or None where there is none."""
        return await self.get("Lease", namespace, name)

    async def create_lease(self, document: Document) -> None:
        """Make it; `ConflictError` where there is one."""
        await self.create(document)

    async def replace_lease(self, document: Document) -> None:
        """Write it; `ConflictError` where it changed since it was read."""
        await self.replace(document)


def _identity(status: Document, audience: str) -> TokenIdentity | None:
    user = status.get("user") or {}
    extra = user.get("extra") or {}
    parts = str(user.get("username", "")).split(":")
    pods = extra.get("authentication.kubernetes.io/pod-name") or []
    uids = extra.get("authentication.kubernetes.io/pod-uid") or []
    good = status.get("authenticated") is True and audience in (status.get("audiences") or [])
    if not good or parts[:2] != ["system", "serviceaccount"] or len(parts) != 4 or not (pods and uids):
        return None
    return TokenIdentity(parts[2], str(pods[0]), str(uids[0]), parts[3])
