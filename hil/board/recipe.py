"""What the board's system consists of: Debian's packages, and the few files that make a computer of them."""

from __future__ import annotations

import hashlib

# To be raised when the way in which the image is made changes otherwise than below.
EDITION = 1
SUITE = "bookworm"
ARCHITECTURE = "arm64"
PACKAGES = (
    *("?essential", "base-files", "usr-is-merged", "systemd-sysv", "udev", "dbus", "kmod", "iproute2", "procps"),
    *("openssh-server", "sudo", "python3"),
)
KERNEL = "linux-image-cloud-arm64"
# NVMe and ext4 are built into this kernel; what is a module of what the machine has:
MODULES = (
    *("drivers/virtio/virtio", "drivers/virtio/virtio_ring", "drivers/virtio/virtio_pci_legacy_dev"),
    *("drivers/virtio/virtio_pci_modern_dev", "drivers/virtio/virtio_pci", "net/core/failover"),
    *("drivers/net/net_failover", "drivers/net/virtio_net", "drivers/char/hw_random/virtio-rng"),
)
DISK_BYTES = 4 << 30
USER = "pi"
# The kernel's arguments at every boot; a panic ends the machine instead of leaving it hanging.
KERNEL_ARGUMENTS = "root=/dev/nvme0n1 rw console=ttyAMA0 quiet"
FIRST_BOOT = "/first_boot"
FIRST_BOOT_DONE = "FIRST BOOT DONE"
OWNERS = "/owners"
AUTHORIZED_KEYS = "/authorized_keys"

FIRST_BOOT_SCRIPT = f"""#!/bin/sh
# Process 1 of the first boot. Files were unpacked without root: owners first, then Debian's own maintainer scripts,
# then the board's settings.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C DEBIAN_FRONTEND=noninteractive
export DEBCONF_NONINTERACTIVE_SEEN=true
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
mount -o remount,rw /
off() {{ sync; echo u > /proc/sysrq-trigger; sleep 1; echo o > /proc/sysrq-trigger; sleep 60; }}
trap off EXIT
set -e
find / -xdev ! -user 0 -exec chown -h 0:0 {{}} +
find / -xdev ! -group 0 -exec chown -h 0:0 {{}} +
while read -r owner mode path; do chown -h "$owner" "$path"; chmod "$mode" "$path"; done < {OWNERS}
dpkg --configure -a || dpkg --configure -a
depmod -a
echo board > /etc/hostname
printf '127.0.0.1 localhost board\\n::1 localhost\\n' > /etc/hosts
echo '/dev/nvme0n1 / ext4 defaults,noatime 0 1' > /etc/fstab
printf '[Match]\\nName=en* eth*\\n[Network]\\nAddress=10.0.2.15/24\\nGateway=10.0.2.2\\n' \\
    > /etc/systemd/network/10-board.network
printf 'virtio_pci\\nvirtio_net\\nvirtio-rng\\n' > /etc/modules-load.d/board.conf
useradd --create-home --shell /bin/bash {USER}
install -d -m 700 -o {USER} -g {USER} /home/{USER}/.ssh
install -m 600 -o {USER} -g {USER} {AUTHORIZED_KEYS} /home/{USER}/.ssh/authorized_keys
echo '{USER} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/010_{USER}
chmod 440 /etc/sudoers.d/010_{USER}
systemctl enable systemd-networkd ssh
systemctl mask getty@tty1.service apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer fstrim.timer \\
    dpkg-db-backup.timer systemd-networkd-wait-online.service
systemctl set-default multi-user.target
rm -rf /etc/dpkg/dpkg.cfg.d/unsafe-io {OWNERS} {AUTHORIZED_KEYS} {FIRST_BOOT}
echo "{FIRST_BOOT_DONE}"
"""


def recipe_key() -> str:
    """Names the image that this recipe makes; another recipe, another key."""
    parts = (SUITE, ARCHITECTURE, *PACKAGES, KERNEL, *MODULES, str(DISK_BYTES), FIRST_BOOT_SCRIPT, str(EDITION))
    return hashlib.sha256("\n".join(parts).encode("utf-8")).hexdigest()[:12]
