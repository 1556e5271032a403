"""A stand-in for the endpoint at which an app in Azure gets tokens for its managed identity (API 2019-08-01).

The real azure-identity library finds it by IDENTITY_ENDPOINT and IDENTITY_HEADER, as it does in Container Apps.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TENANT = "11111111-1111-1111-1111-111111111111"
CLIENT_ID = "22222222-2222-2222-2222-222222222222"
HEADER = "header-of-this-app"


class ManagedIdentity:
    """A running endpoint of one user-assigned identity. `resources` is what tokens were asked for."""

    def __init__(self) -> None:
        self.resources: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._answering())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def environment(self) -> dict[str, str]:
        """What the platform sets for an app that has this identity."""
        address = f"http://127.0.0.1:{self._server.server_port}/msi/token"
        return {"IDENTITY_ENDPOINT": address, "IDENTITY_HEADER": HEADER}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answering(self) -> type[BaseHTTPRequestHandler]:
        identity = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
                is_known = asked.get("client_id") == CLIENT_ID and self.headers.get("X-IDENTITY-HEADER") == HEADER
                body = json.dumps(identity.grant(asked["resource"]) if is_known else {"message": "no such identity"})
                self.send_response(200 if is_known else 400)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                pass

        return Answer

    def grant(self, resource: str) -> dict[str, str]:
        """A token for that resource, as the endpoint gives it."""
        self.resources.append(resource)
        now = int(time.time())
        claims = {
            "aud": resource,
            "iss": f"https://sts.windows.net/{TENANT}/",
            "iat": now,
            "nbf": now - 60,
            "exp": now + 3600,
        }
        token = f"{_part({'alg': 'none', 'typ': 'JWT'})}.{_part(claims)}.unsigned"
        return {"access_token": token, "expires_on": str(now + 3600), "resource": resource, "token_type": "Bearer"}


def _part(content: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()
