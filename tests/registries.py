"""Real docker-registry processes on loopback, for tests.

A :class:`Lab` makes a CA and certificates once and starts registries; they die with the test run. Needs the
``docker-registry`` and ``openssl`` programs.
"""

from __future__ import annotations

import base64
import ctypes
import itertools
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.servers import Answer, Request, Server

KINDS = ("plain", "tls", "htpasswd", "token", "schema1")
USER, PASSWORD = "fred", "!WordPass0$"
_HTPASSWD = "fred:$2y$05$wyKTllHhrJLnXN/Onq/kHOCqadWqlUZK89ppI5nm.zNsM3wtEJOh2\n"  # bcrypt, all that the registry takes
_SERVICE, _ISSUER = "Docker registry", "Auth Service"
_PROGRAM = os.environ.get("REGISTRY_BIN") or shutil.which("docker-registry") or "docker-registry"
_LISTENING = re.compile(r"listening on 127\.0\.0\.1:(\d+)")
_PR_SET_PDEATHSIG = 1
_START = 15.0  # seconds
_libc = ctypes.CDLL(None)


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _openssl(*arguments: str, stdin: bytes | None = None) -> bytes:
    done = subprocess.run(["openssl", *arguments], input=stdin, check=True, capture_output=True)
    return done.stdout


class Lab:
    """A directory with a CA, the certificates it signed, and the registries started so far."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ca = str(directory / "ca.pem")
        self._started: list[Registry | TokenServer] = []
        self._numbers = itertools.count()
        self._make_certificates()

    def path(self, name: str) -> str:
        """The name of a file of the lab."""
        return str(self.directory / name)

    def _make_certificates(self) -> None:
        ec = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        self_signed = ("req", "-x509", "-days", "30")
        _openssl(*self_signed, *ec, "-subj", "/CN=test CA", "-keyout", self.path("ca.key"), "-out", self.ca,
                 "-addext", "keyUsage=critical,keyCertSign,cRLSign")  # fmt: skip
        _openssl("req", *ec, "-subj", "/CN=localhost", "-keyout", self.path("tls.key"), "-out", self.path("tls.csr"))
        Path(self.path("tls.cnf")).write_text(
            "subjectAltName=DNS:localhost,IP:127.0.0.1\nkeyUsage=critical,digitalSignature\n"
            "extendedKeyUsage=serverAuth\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
            "basicConstraints=CA:FALSE\n"
        )
        _openssl("x509", "-req", "-in", self.path("tls.csr"), "-CA", self.ca, "-CAkey", self.path("ca.key"),
                 "-CAcreateserial", "-days", "30", "-extfile", self.path("tls.cnf"),
                 "-out", self.path("tls.pem"))  # fmt: skip
        _openssl(*self_signed, "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=token signer",
                 "-keyout", self.path("sign.key"), "-out", self.path("sign.pem"))  # fmt: skip

    def server_context(self) -> ssl.SSLContext:
        """TLS for a server that is ``localhost``."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path("tls.pem"), self.path("tls.key"))
        return context

    def client_context(self) -> ssl.SSLContext:
        """TLS for a client that trusts the lab's CA alone."""
        return ssl.create_default_context(cafile=self.ca)

    def start(
        self,
        kind: str,
        *,
        root: Path | None = None,
        port: int = 0,
        deletes: bool = True,
        read_only: bool = False,
        proxy: str | None = None,
        token_lifetime: int = 900,
    ) -> Registry:
        """Start a registry and wait until it answers.

        :param kind: one of :data:`KINDS`; htpasswd and token are over TLS
        :param root: storage directory, a new one when not given
        :param port: port to listen on, any free one when 0
        :param deletes: whether it deletes blobs and manifests
        :param read_only: whether it refuses every write
        :param proxy: URL of a registry that this one is a pull-through cache of
        :param token_lifetime: seconds that a token is good for
        """
        directory = self.directory / f"registry{next(self._numbers)}"
        directory.mkdir()
        tokens = TokenServer(self, token_lifetime) if kind == "token" else None
        if tokens:
            self._started.append(tokens)
        config = _config(kind, root or directory / "data", deletes, read_only)
        config |= self._kind_config(kind, directory, tokens)
        if proxy:
            config["proxy"] = {"remoteurl": proxy}
        registry = Registry(self, kind, directory, config, tokens)
        self._started.append(registry)
        registry.serve(port)
        return registry

    def _kind_config(self, kind: str, directory: Path, tokens: TokenServer | None) -> dict[str, Any]:
        if kind == "htpasswd":
            (directory / "htpasswd").write_text(_HTPASSWD)
            return {"auth": {"htpasswd": {"realm": "Registry Realm", "path": str(directory / "htpasswd")}}}
        if tokens:
            bundle = self.path("sign.pem")
            token = {"realm": tokens.realm, "service": _SERVICE, "issuer": _ISSUER, "rootcertbundle": bundle}
            return {"auth": {"token": token}}
        return {"compatibility": {"schema1": {"enabled": True}}} if kind == "schema1" else {}

    def stop(self) -> None:
        """Stop everything that was started."""
        for started in reversed(self._started):
            started.stop()


def _config(kind: str, root: Path, deletes: bool, read_only: bool) -> dict[str, Any]:
    """A registry's configuration; JSON is YAML."""
    if kind not in KINDS:
        raise ValueError(f"unknown kind of registry: {kind}")
    return {
        "version": 0.1,
        "log": {"level": "info", "accesslog": {"disabled": False}},
        "storage": {
            "filesystem": {"rootdirectory": str(root)},
            "delete": {"enabled": deletes},
            "cache": {"blobdescriptor": "inmemory"},
            "maintenance": {"uploadpurging": {"enabled": False}, "readonly": {"enabled": read_only}},
        },
        "http": {"secret": "of the tests"},
    }


class Registry:
    """One docker-registry process and its storage.

    ``host`` is ``localhost:PORT``; ``root`` the storage directory; ``tokens`` its token server, if it has one.
    """

    def __init__(
        self, lab: Lab, kind: str, directory: Path, config: dict[str, Any], tokens: TokenServer | None
    ) -> None:
        self.lab, self.kind, self.tokens = lab, kind, tokens
        self.tls = kind in ("tls", "htpasswd", "token")
        self.authenticates = kind in ("htpasswd", "token")
        self.root = Path(config["storage"]["filesystem"]["rootdirectory"])
        self._config = config
        self._config_file = directory / "config.yml"
        self._log = directory / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    @property
    def host(self) -> str:
        """Host name and port."""
        return f"localhost:{self._port}"

    @property
    def url(self) -> str:
        """Scheme, host name and port."""
        return f"{'https' if self.tls else 'http'}://{self.host}"

    @property
    def client_arguments(self) -> dict[str, Any]:
        """Keyword arguments of a client that may do everything."""
        login = _login if self.authenticates else None
        return {"host": self.host, "auth": login, "insecure": not self.tls, "tlsverify": self.lab.ca}

    def serve(self, port: int = 0) -> None:
        """Start the process and wait until it answers.

        :param port: port to listen on, any free one when 0
        :raises RuntimeError: when it does not start
        """
        certificate = {"certificate": self.lab.path("tls.pem"), "key": self.lab.path("tls.key")}
        self._config["http"] |= {"addr": f"127.0.0.1:{port}"} | ({"tls": certificate} if self.tls else {})
        self._config_file.write_text(json.dumps(self._config))
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [_PROGRAM, "serve", str(self._config_file)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=_environment(), start_new_session=True, preexec_fn=_die_with_parent,
            )  # fmt: skip
        self._wait_for(self._is_listening)
        self._wait_for(self._is_answering)

    def _wait_for(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + _START
        while not condition():
            if self._process is None or self._process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise RuntimeError(f"docker-registry did not start:\n{self.tail()}")
            time.sleep(0.01)

    def _is_listening(self) -> bool:
        found = _LISTENING.search(self._log.read_text(errors="replace"))
        if found:
            self._port = int(found[1])
        return found is not None

    def _is_answering(self) -> bool:
        context = self.lab.client_context() if self.tls else None
        try:
            urllib.request.urlopen(f"{self.url}/v2/", context=context, timeout=5).close()
        except urllib.error.HTTPError as error:
            error.close()
        except OSError:
            return False
        return True

    @property
    def pid(self) -> int:
        """The process that serves it."""
        assert self._process is not None
        return self._process.pid

    def stop(self) -> None:
        """Stop the process; its storage and its port's number stay."""
        if self._process and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def kill(self) -> None:
        """End the process without a warning; its storage stays as it is at that moment."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def restart(self) -> None:
        """Stop, and start again on the same port."""
        self.stop()
        self.serve(self._port)

    def gc(self, *options: str) -> None:
        """Delete the blobs that no manifest names, behind the back of the running process."""
        command = [_PROGRAM, "garbage-collect", *options, str(self._config_file)]
        subprocess.run(command, check=True, capture_output=True, env=_environment())

    def untag(self, repository: str, alias: str) -> None:
        """Take an alias away in the storage, as registries do that delete by tag."""
        shutil.rmtree(self.root / "docker/registry/v2/repositories" / repository / "_manifests/tags" / alias)

    def blob_path(self, digest: str) -> Path:
        """The storage file of a blob or manifest."""
        algorithm, _, encoded = digest.partition(":")
        return self.root / "docker/registry/v2/blobs" / algorithm / encoded[:2] / encoded / "data"

    def tail(self, lines: int = 30) -> str:
        """The end of the process's log."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])


def _login(client: Any, response: Any) -> None:
    client.authenticate(USER, PASSWORD, response=response)


def _environment() -> Mapping[str, str]:
    """The environment without what would configure a registry."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("REGISTRY_", "OTEL_"))}


class TokenServer:
    """Gives out signed tokens: fred may do anything; anonymous may pull from ``public/…`` and list the catalog.

    ``requests`` are the account and query of each token given out; ``realm`` is its URL. An identity token is
    exchanged by POST (OAuth 2). ``shape`` changes the answer, as other token servers' differ.

    :param lifetime: seconds that a token is good for
    """

    identity_token = "an-identity-token"
    shape: Callable[[dict[str, Any]], dict[str, Any]] = staticmethod(lambda document: document)

    def __init__(self, lab: Lab, lifetime: int = 900) -> None:
        self.requests: list[tuple[str, dict[str, list[str]]]] = []
        self.user_agents: list[str] = []
        self._lab, self._lifetime = lab, lifetime
        der = _openssl("x509", "-in", lab.path("sign.pem"), "-outform", "DER")
        self._certificate = base64.b64encode(der).decode()
        self._server = Server(self._respond, lab.server_context())
        self.host = self._server.host
        self.realm = f"https://{self.host}/auth"

    def stop(self) -> None:
        """Stop giving out tokens."""
        self._server.stop()

    def _respond(self, request: Request) -> Answer:
        query = parse_qs(urlsplit(request.path).query if request.method == "GET" else request.body.decode())
        account, password = _basic(request.headers.get("authorization", ""))
        if request.method == "POST":
            known = query.get("refresh_token") == [self.identity_token]
            account, password = (USER, PASSWORD) if known else (USER, "")
            query["scope"] = query.get("scope", [""])[0].split()
        if account and (account, password) != (USER, PASSWORD):
            return Answer(401, body=b'{"details": "auth failed"}')
        self.requests.append((account, query))
        self.user_agents.append(request.headers.get("user-agent", ""))
        access = [granted for scope in query.get("scope", []) if (granted := _granted(account, scope))]
        token = self.sign(account, query.get("service", [""])[0], access)
        document = self.shape({"access_token": token, "token": token, "expires_in": self._lifetime})
        return Answer(200, (("Content-Type", "application/json"),), json.dumps(document).encode())

    def sign(self, account: str, audience: str, access: list[dict[str, Any]]) -> str:
        """A token that lets *account* have *access*."""
        now = int(time.time())
        header = {"typ": "JWT", "alg": "RS256", "x5c": [self._certificate]}
        times = {"iat": now, "nbf": now - 10, "exp": now + self._lifetime}
        claims = {
            "iss": _ISSUER,
            "sub": account,
            "aud": audience,
            "jti": os.urandom(8).hex(),
            "access": access,
            **times,
        }
        unsigned = f"{_base64url(json.dumps(header).encode())}.{_base64url(json.dumps(claims).encode())}"
        signature = _openssl("dgst", "-sha256", "-sign", self._lab.path("sign.key"), stdin=unsigned.encode())
        return f"{unsigned}.{_base64url(signature)}"


def _granted(account: str, scope: str) -> dict[str, Any] | None:
    kind, _, rest = scope.partition(":")
    name, _, actions = rest.rpartition(":")
    wanted = actions.split(",")
    if account != USER and name != "catalog":
        wanted = ["pull"] if name.startswith("public/") and "pull" in wanted else []
    return {"type": kind, "name": name, "actions": wanted} if wanted else None


def _basic(header: str) -> tuple[str, str]:
    account, _, password = base64.b64decode(header.partition(" ")[2]).decode().partition(":")
    return account, password


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
