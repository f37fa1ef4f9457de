"""Folder, ports and key -> Swift's configuration files and rings: one account, container, object and proxy server."""

import getpass
import subprocess
from dataclasses import dataclass
from pathlib import Path

BACKENDS = ("account", "container", "object")
SERVERS = (*BACKENDS, "proxy")
REGION = "us-east-1"

# process_cache and one_writer are ours, see their files; the rest is what Swift recommends for s3api with tempauth.
PIPELINE = (
    "catch_errors gatekeeper healthcheck process_cache listing_formats one_writer bulk s3api tempauth copy slo dlo "
    "versioned_writes symlink proxy-server"
)

SWIFT = "[swift-hash]\nswift_hash_path_suffix = {key}\n\n[storage-policy:0]\nname = one\ndefault = yes\n"

DEFAULT = """\
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
# A tests' disk is often nearly full, and reserving blocks is slow on some file systems.
disable_fallocate = true
fallocate_reserve = 0
log_level = WARNING
"""

# Time limits far over the defaults: on a busy machine 0.5 s to connect end in 503s, and a container update given up
# after 1 s leaves an acknowledged object out of the listing until an updater runs; we run none.
BACKEND = """
[pipeline:main]
pipeline = healthcheck recon {server}-server

[filter:healthcheck]
use = egg:swift#healthcheck

[filter:recon]
use = egg:swift#recon
recon_cache_path = {folder}/recon

[app:{server}-server]
use = egg:swift#{server}
node_timeout = 60
conn_timeout = 10
container_update_timeout = 60
"""

PROXY = """
[pipeline:main]
pipeline = {pipeline}

[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
node_timeout = 60
conn_timeout = 10
# With one device, a device that is set aside after ten errors is an outage of a minute.
error_suppression_limit = 1000000

[filter:s3api]
use = egg:swift#s3api
location = {region}
s3_acl = false

[filter:tempauth]
use = egg:swift#tempauth
user_sora_tests = {key} .admin

[filter:process_cache]
paste.filter_factory = process_cache:filter_factory

[filter:one_writer]
paste.filter_factory = one_writer:filter_factory
"""


@dataclass(frozen=True)
class SwiftConfiguration:
    """Where one Swift keeps its files, which ports it serves and the key that opens it.

    Args:
        folder: Configuration, rings, logs and data go here; must support user xattrs (ext4, xfs, btrfs, newer tmpfs).
        ports: One free port on 127.0.0.1 for each of SERVERS.
        key: The secret key; the access key is "sora:tests".
    """

    folder: Path
    ports: dict[str, int]
    key: str

    def write(self, python: Path) -> None:
        """Write every configuration file and build the rings, with Swift's own `python`."""
        for name in ("devices/one", "recon", "logs"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "swift.conf").write_text(SWIFT.format(key=self.key))
        for server in SERVERS:
            self.file(server).write_text(self._text(server))
        ports = [f"{server}={self.ports[server]}" for server in BACKENDS]
        build_rings = Path(__file__).with_name("build_rings.py")
        subprocess.run([str(python), str(build_rings), str(self.folder), *ports], check=True)

    def file(self, server: str) -> Path:
        """The configuration file of one server."""
        return self.folder / f"{server}.conf"

    def _text(self, server: str) -> str:
        common = DEFAULT.format(port=self.ports[server], user=getpass.getuser(), folder=self.folder)
        if server != "proxy":
            return common + BACKEND.format(server=server, folder=self.folder)
        filters = [name for name in PIPELINE.split() if f"[filter:{name}]" not in PROXY and name != "proxy-server"]
        plain = "".join(f"\n[filter:{name}]\nuse = egg:swift#{name}\n" for name in filters)
        return common + PROXY.format(pipeline=PIPELINE, region=REGION, key=self.key) + plain
