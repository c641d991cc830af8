#!/usr/bin/env python3
"""A container image from scratch for several architectures, as an OCI archive.

packaging/image.py VERSION OUT.tar ARCHITECTURE=FOLDER...

Each FOLDER is what the .tar.gz holds. In the image are the program, its link riot-redis, its licences, the certificate authorities
of the machine that builds it, and a user who is not root. $SOURCE_DATE_EPOCH is the time of everything in it. Only Python's own
library is needed; `skopeo copy --all oci-archive:OUT.tar docker://...` publishes it.
"""

import datetime
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile

EPOCH = int(os.environ["SOURCE_DATE_EPOCH"])
CREATED = datetime.datetime.fromtimestamp(EPOCH, datetime.timezone.utc).isoformat().replace("+00:00", "Z")
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
USER = 65532


class Tar:
    """A tar file in memory: entries of root, of one time."""

    def __init__(self):
        self.bytes = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.bytes, mode="w", format=tarfile.USTAR_FORMAT)

    def add(self, name, kind=tarfile.REGTYPE, mode=0o644, content=b"", link=""):
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode, entry.mtime = kind, mode, EPOCH
        entry.linkname, entry.size = link, len(content)
        self.tar.addfile(entry, io.BytesIO(content))

    def folder(self, name):
        self.add(name, tarfile.DIRTYPE, 0o755)

    def finish(self):
        self.tar.close()
        return self.bytes.getvalue()


def read(path):
    with open(path, "rb") as file:
        return file.read()


def layer(folder):
    """The files of the image."""
    tar = Tar()
    for name in ["etc", "etc/ssl", "etc/ssl/certs", "usr", "usr/bin", "usr/share", "usr/share/doc", "usr/share/doc/riot"]:
        tar.folder(name)
    tar.add("etc/passwd", content=f"root:x:0:0:root:/:/\nriot:x:{USER}:{USER}:riot:/:/\n".encode())
    tar.add("etc/group", content=f"root:x:0:\nriot:x:{USER}:\n".encode())
    tar.add("etc/ssl/certs/ca-certificates.crt", content=read(AUTHORITIES))
    tar.add("usr/bin/riot", mode=0o755, content=read(f"{folder}/riot"))
    tar.add("usr/bin/riot-redis", tarfile.SYMTYPE, 0o777, link="riot")
    for name in ["LICENSE", "LICENSES-OF-CRATES"]:
        tar.add(f"usr/share/doc/riot/{name}", content=read(f"{folder}/{name}"))
    return tar.finish()


class Layout:
    """An OCI image layout: blobs by their digests, and the index that leads to them."""

    def __init__(self):
        self.blobs = {}

    def blob(self, kind, content, **more):
        """Keeps a blob; its descriptor is what refers to it."""
        digest = hashlib.sha256(content).hexdigest()
        self.blobs[digest] = content
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(content), **more}

    def document(self, kind, content, **more):
        return self.blob(kind, encoded(content), **more)

    def archive(self, manifest):
        tar = Tar()
        tar.add("oci-layout", content=encoded({"imageLayoutVersion": "1.0.0"}))
        tar.add("index.json", content=encoded({"schemaVersion": 2, "manifests": [manifest]}))
        tar.folder("blobs")
        tar.folder("blobs/sha256")
        for digest in sorted(self.blobs):
            tar.add(f"blobs/sha256/{digest}", content=self.blobs[digest])
        return tar.finish()


def encoded(content):
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def image(layout, architecture, folder, labels):
    """One architecture's image."""
    files = layer(folder)
    layer_blob = layout.blob("layer.v1.tar+gzip", gzip.compress(files, 9, mtime=0))
    config = {
        "created": CREATED,
        "architecture": architecture,
        "os": "linux",
        "config": {
            "User": f"{USER}:{USER}",
            "Env": ["PATH=/usr/bin"],
            "Entrypoint": ["/usr/bin/riot"],
            "WorkingDir": "/",
            "Labels": labels,
        },
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(files).hexdigest()]},
        "history": [{"created": CREATED, "created_by": "packaging/image.py"}],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": layout.document("config.v1+json", config),
        "layers": [layer_blob],
        "annotations": labels,
    }
    platform = {"architecture": architecture, "os": "linux"}
    return layout.document("manifest.v1+json", manifest, platform=platform)


def main(version, out, *folders):
    commit = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    title = "org.opencontainers.image."
    labels = {
        title + "title": "riot",
        title + "description": "Replicates and compares Redis and Valkey databases",
        title + "version": version,
        title + "revision": commit,
        title + "licenses": "Apache-2.0",
        title + "created": CREATED,
    }
    layout = Layout()
    manifests = [image(layout, *folder.split("=", 1), labels) for folder in folders]
    index = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": manifests,
        "annotations": labels,
    }
    name = {"org.opencontainers.image.ref.name": version}
    archive = layout.archive(layout.document("index.v1+json", index, annotations=name))
    with open(out, "wb") as file:
        file.write(archive)


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
