#!/usr/bin/env python3
"""Builds the demo image without a network: busybox, a web server and a script that says who it is.

Usage: demo/image.py [NAME]. The same image serves the demo, the tests and the benchmarks. It
answers every HTTP request with the id of its task, its instance and its environment, as JSON.
"""

import io
import shutil
import subprocess
import sys
import tarfile

NAME = "longshore-demo:1"

APPLETS = (
    "[ cat chmod chown cp cut date dd echo env false find getent grep head hostname httpd id kill "
    "ls mkdir mount nc nproc ping printenv printf ps pwd rm sed seq sh sleep sort stat sync tail "
    "tee test touch tr true uname wc whoami"
)

# The first process of a container gets no default action for SIGTERM: it must take it itself.
SERVE = """\
#!/bin/sh
trap 'kill %1 2>/dev/null; exit 0' TERM INT
httpd -f -p "${PORT:-80}" -h /www &
wait
"""

# wget of a static busybox needs the machine's C library to look up names, and crashes without.
FETCH = """\
#!/bin/sh
rest=${1#http://}
address=${rest%%/*}
host=${address%:*}
port=${address#"$host"}
port=${port#:}
printf 'GET /%s HTTP/1.0\\r\\nHost: %s\\r\\n\\r\\n' "${rest#*/}" "$address" |
    nc -w 5 "$host" "${port:-80}" | sed '1,/^\\r*$/d'
"""

# The metadata endpoint is asked at each request: it is the task's own word for what it is.
ANSWER = """\
#!/bin/sh
task=$(fetch "$ECS_CONTAINER_METADATA_URI_V4/task" 2>/dev/null)
arn=$(printf %s "$task" | sed -n 's/.*"TaskARN": *"\\([^"]*\\)".*/\\1/p')
zone=$(printf %s "$task" | sed -n 's/.*"AvailabilityZone": *"\\([^"]*\\)".*/\\1/p')
printf 'Content-Type: application/json\\r\\n\\r\\n'
printf '{"task": "%s", "zone": "%s", "host": "%s", "greeting": "%s"}\\n' \\
    "${arn##*/}" "$zone" "$(hostname)" "$GREETING"
"""


def archive(busybox: bytes) -> bytes:
    """The root file system, the same bytes for the same busybox."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:

        def entry(name: str, kind: bytes, mode: int, data: bytes = b"", link: str = "") -> None:
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.size, info.linkname = kind, mode, len(data), link
            tar.addfile(info, io.BytesIO(data))

        for folder in ("bin", "dev", "etc", "proc", "sys", "usr", "usr/bin", "var", "www"):
            entry(folder, tarfile.DIRTYPE, 0o755)
        entry("tmp", tarfile.DIRTYPE, 0o1777)
        entry("www/cgi-bin", tarfile.DIRTYPE, 0o755)
        entry("bin/busybox", tarfile.REGTYPE, 0o755, busybox)
        for applet in APPLETS.split():
            entry(f"bin/{applet}", tarfile.SYMTYPE, 0o777, link="busybox")
        entry("etc/passwd", tarfile.REGTYPE, 0o644, b"root:x:0:0::/:/bin/sh\napp:x:1000:1000::/:\n")
        entry("etc/group", tarfile.REGTYPE, 0o644, b"root:x:0:\napp:x:1000:\n")
        entry("bin/fetch", tarfile.REGTYPE, 0o755, FETCH.encode())
        entry("bin/serve", tarfile.REGTYPE, 0o755, SERVE.encode())
        entry("www/cgi-bin/index.cgi", tarfile.REGTYPE, 0o755, ANSWER.encode())
    return buffer.getvalue()


def build(name: str = NAME) -> str:
    """Imports the image as `name`, and gives its name back."""
    path = shutil.which("busybox")
    if path is None:
        raise SystemExit("busybox is missing: run scripts/setup packages")
    with open(path, "rb") as file:
        content = archive(file.read())
    command = ["docker", "import", "--change", 'CMD ["/bin/serve"]', "-", name]
    done = subprocess.run(command, input=content, capture_output=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"docker import failed: {done.stderr.decode(errors='replace').strip()}")
    return name


if __name__ == "__main__":
    print(build(*sys.argv[1:2]))
