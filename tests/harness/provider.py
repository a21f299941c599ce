"""A provider of OpenID Connect that logs everybody in, and a target that says what it was told."""

import base64
import http.server
import json
import threading
import urllib.parse
from typing import Any

CLIENT, SECRET = "client:1", "s%cret"


class Web:
    """A web server in a thread, on an address of this machine."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                status, headers, body = outer.answer(self, self.rfile.read(length).decode())
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *_arguments: object) -> None:
                return None

        self.server = http.server.ThreadingHTTPServer((host, 0), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://{host}:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(
        self, request: http.server.BaseHTTPRequestHandler, body: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body."""
        raise NotImplementedError

    def close(self) -> None:
        """Ends it."""
        self.server.shutdown()
        self.server.server_close()


class Echo(Web):
    """Answers with the headers that it got, as JSON."""

    def answer(
        self, request: http.server.BaseHTTPRequestHandler, body: str
    ) -> tuple[int, dict[str, str], bytes]:
        told = {name.lower(): value for name, value in request.headers.items()}
        return 200, {}, json.dumps({"path": request.path, **told}).encode()


class Provider(Web):
    """The provider."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[dict[str, str]] = []
        self.codes: dict[str, str] = {}
        self.claims: dict[str, Any] = {"sub": "user-1", "email": "user@example.com"}
        self.audience = CLIENT
        self.broken = False

    def config(self, **members: Any) -> dict[str, Any]:
        """An action that asks for a log-in here."""
        return {
            "Type": "authenticate-oidc",
            "Order": 1,
            "AuthenticateOidcConfig": {
                "Issuer": self.url,
                "AuthorizationEndpoint": f"{self.url}/authorize",
                "TokenEndpoint": f"{self.url}/token",
                "UserInfoEndpoint": f"{self.url}/userinfo",
                "ClientId": CLIENT,
                "ClientSecret": SECRET,
                **members,
            },
        }

    def answer(
        self, request: http.server.BaseHTTPRequestHandler, body: str
    ) -> tuple[int, dict[str, str], bytes]:
        url = urllib.parse.urlsplit(request.path)
        if url.path == "/authorize":
            asked = dict(urllib.parse.parse_qsl(url.query))
            self.asked.append(asked)
            code = f"code-{len(self.asked)}"
            self.codes[code] = asked["redirect_uri"]
            back = urllib.parse.urlencode({"code": code, "state": asked["state"]})
            return 302, {"Location": f"{asked['redirect_uri']}?{back}"}, b""
        if url.path == "/token":
            return self.token(request, dict(urllib.parse.parse_qsl(body)))
        if request.headers["Authorization"] != "Bearer token-1":
            return 401, {}, b""
        return 200, {}, json.dumps(self.claims).encode()

    def token(
        self, request: http.server.BaseHTTPRequestHandler, form: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        """A code is good for one token."""
        both = ":".join(urllib.parse.quote_plus(part) for part in (CLIENT, SECRET))
        wanted = "Basic " + base64.b64encode(both.encode()).decode()
        if self.broken or request.headers["Authorization"] != wanted:
            return 401, {}, b""
        if form["grant_type"] != "authorization_code":
            return 400, {}, b""
        if self.codes.pop(form["code"], None) != form["redirect_uri"]:
            return 400, {}, b""
        claims = {"iss": self.url, "aud": self.audience, "sub": self.claims["sub"]}
        payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
        told = {"access_token": "token-1", "id_token": f"e30.{payload}.", "token_type": "Bearer"}
        return 200, {}, json.dumps(told).encode()
