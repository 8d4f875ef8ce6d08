"""A package index of our own: small wheels and source archives, and an npm registry over HTTP."""

from __future__ import annotations

import base64
import hashlib
import http.server
import io
import json
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_wheel(
    folder: Path, name: str, version: str, files: Mapping[str, bytes], tag: str = "py3-none-any"
) -> Path:
    path = folder / f"{name}-{version}-{tag}.whl"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        for member, data in files.items():
            wheel.writestr(member, data)
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        wheel.writestr(f"{info}/METADATA", metadata)
        pure = str(tag.endswith("any")).lower()
        wheel.writestr(
            f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: {pure}\nTag: {tag}\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return path


def write_tarball(path: Path, files: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


@contextmanager
def npm_registry(tarballs: Mapping[tuple[str, str], Path]) -> Iterator[str]:
    """Serve tarballs by (name, version); yields the URL of the registry."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.strip("/").removesuffix(".tgz")
            for (package, version), path in tarballs.items():
                if self.path.endswith(".tgz") and name == f"{package}-{version}":
                    return self.answer(path.read_bytes())
                if name == package:
                    return self.answer(self.document(package, version, path))
            self.send_error(404)

        def document(self, package: str, version: str, path: Path) -> bytes:
            digest = base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
            dist = {
                "tarball": f"{url}/{package}-{version}.tgz",
                "integrity": f"sha512-{digest}",
            }
            entry = {"name": package, "version": version, "dist": dist}
            document = {
                "name": package,
                "dist-tags": {"latest": version},
                "versions": {version: entry},
            }
            return json.dumps(document).encode()

        def answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield url
        finally:
            server.shutdown()
