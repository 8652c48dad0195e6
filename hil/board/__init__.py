"""The virtual board: a whole aarch64 computer in QEMU, to deploy to as to a board on the desk."""
