"""A virtual machine as `vagrant up` would make it: Debian 12 with its cloud kernel, provisioned by the same script.

The image is made from packages (debootstrap, mkfs.ext4), so no box is fetched. Two plain disks carry a tar archive in,
with the project, and one out, with what was left behind: neither network nor agent is needed for that. The machine's
own network is QEMU's, by which it fetches packages from where this machine fetches them.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).parents[2]

NEEDED = ("debootstrap", "mkfs.ext4", "qemu-system-x86_64")
SYSTEM = "linux-image-cloud-amd64 systemd-sysv dbus udev ifupdown isc-dhcp-client iproute2 sudo ca-certificates"

#: How this machine reaches packages, so that the virtual one can: sources, authorities, pip's settings.
_WAYS = ("etc/apt/sources.list", "etc/apt/sources.list.d", "usr/local/share/ca-certificates", "etc/pip.conf")

_SERVICE = """
[Unit]
Description=What the test has done in this machine
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
ExecStart=/bin/sh /root/session.sh
ExecStopPost=/sbin/poweroff -f
StandardOutput=journal+console
StandardError=journal+console

[Install]
WantedBy=multi-user.target
"""

_SESSION = """
mkdir /vagrant && tar -xf /dev/vdb -C /vagrant && chown -R vagrant: /vagrant
left=/vagrant/results
mkdir -p $left/runs && chown -R vagrant: $left
step() {
    echo "== $1"
    runuser -l vagrant -c "$2 && echo SUCCESS" 2>&1 | tee $left/$1.txt
}
step provision "sh /vagrant/labs/vm/provision.sh /vagrant"
%s
cp /etc/motd $left/motd.txt
tar -cf /dev/vdc -C $left .
sync
"""


def why_not() -> str | None:
    """None where such a machine can be made and started."""
    missing = [program for program in NEEDED if not shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin")]
    return f"not installed: {', '.join(missing)}" if missing else None


def build(folder: Path) -> None:
    """Leave `disk`, `kernel` and `initrd` in `folder`: a Debian with a user `vagrant`, who may use sudo."""
    tree = folder / "tree"
    _run("debootstrap", "--variant=minbase", f"--include={','.join(SYSTEM.split())}", "bookworm", str(tree))
    _write(tree / "etc/hostname", "tcpclose\n")
    _write(tree / "etc/hosts", "127.0.0.1 localhost tcpclose\n")
    _write(tree / "etc/fstab", "/dev/vda / ext4 defaults 0 1\n")
    _write(tree / "etc/network/interfaces", "auto lo\niface lo inet loopback\nauto eth0\niface eth0 inet dhcp\n")
    _write(tree / "etc/sudoers.d/vagrant", "vagrant ALL=(ALL) NOPASSWD: ALL\n")
    _write(tree / "etc/systemd/system/session.service", _SERVICE)
    for way in _WAYS:
        here = Path("/", way)
        if here.is_dir():
            shutil.copytree(here, tree / way, dirs_exist_ok=True)
        elif here.exists():
            shutil.copy(here, tree / way)
    inside = ("chroot", str(tree))
    _run(*inside, "useradd", "--create-home", "--shell", "/bin/bash", "vagrant")
    _run(*inside, "update-ca-certificates")
    _run(*inside, "systemctl", "enable", "session.service")
    for name, pattern in (("kernel", "vmlinuz-*"), ("initrd", "initrd.img-*")):
        shutil.copy(next((tree / "boot").glob(pattern)), folder / name)


def boot(folder: Path, steps: dict[str, str], limit: float) -> Path:
    """Start the machine that `build` made, have the user do `steps` (name to command), and wait until it is off.

    Gives the folder of results: of each step there is NAME.txt, what it printed, with SUCCESS as its last word. The
    machine is provisioned before, as the step `provision`. Whoever is still busy after `limit` seconds is ended.
    """
    lines = [f"step {name} '{command}'" for name, command in steps.items()]
    _write(folder / "tree/root/session.sh", _SESSION % "\n".join(lines))
    _run("mkfs.ext4", "-q", "-d", str(folder / "tree"), str(folder / "disk"), "8G")
    _project(folder / "in")
    with (folder / "out").open("wb") as out:
        out.truncate(1 << 30)
    disks = [f"file={folder / name},format=raw,if=virtio" for name in ("disk", "in", "out")]
    command = [*_qemu(folder, "kvm" if _kvm_boots(folder) else "tcg"), "-nic", "user,model=virtio-net-pci"]
    command += [word for disk in disks for word in ("-drive", disk)]
    with (folder / "console.txt").open("wb") as console:
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=console, stderr=console, timeout=limit, check=True)
    results = folder / "results"
    results.mkdir()
    _run("tar", "-xf", str(folder / "out"), "-C", str(results))
    return results


def _qemu(folder: Path, accelerator: str) -> list[str]:
    command = ["qemu-system-x86_64", "-accel", accelerator, "-cpu", "max", "-m", "2048", "-smp", "2"]
    command += ["-nographic", "-no-reboot", "-kernel", str(folder / "kernel"), "-initrd", str(folder / "initrd")]
    return [*command, "-append", "root=/dev/vda console=ttyS0 net.ifnames=0 panic=-1"]


def _kvm_boots(folder: Path) -> bool:
    """/dev/kvm may run a few instructions and never get a kernel to speak: so try one, that has no disk to find."""
    try:
        trial = subprocess.run(_qemu(folder, "kvm"), stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
        said = trial.stdout
    except subprocess.TimeoutExpired as late:
        said = late.stdout or b""
    return b"Linux version" in said


def _project(path: Path) -> None:
    """The files of the project that git knows or would take, as they stand here."""
    listed = _run("git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    with tarfile.open(path, "w") as archive:
        for name in sorted(filter(None, listed.split("\0"))):
            if (ROOT / name).exists():
                archive.add(ROOT / name, name)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
        done.check_returncode()
    return done.stdout
