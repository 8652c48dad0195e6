#!/bin/sh
# Installs the Debian packages that a make target needs where apt-get may be used; otherwise names what is missing.
# usage: system_packages.sh demo|test
set -eu

missing=""
python="${PYTHON:-python3}"
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "Python 3.11 or newer is needed; $python is $("$python" --version 2>&1 || echo missing)." >&2
    exit 1
fi
minor=$("$python" -c 'import sys; print(sys.version_info.minor)')
if [ "$1" = test ] && [ "$minor" != 11 ]; then
    echo "The tests need Python 3.11, the only version that Blender's module (bpy 4.5) is made for; set PYTHON." >&2
    exit 1
fi
"$python" -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3.$minor-venv"

if [ "$1" = test ]; then
    # Shared libraries that Blender's Python module is linked to, and the packages that hold them.
    for pair in \
        libXrender.so.1:libxrender1 libXi.so.6:libxi6 libXfixes.so.3:libxfixes3 libXxf86vm.so.1:libxxf86vm1 \
        libxkbcommon.so.0:libxkbcommon0 libSM.so.6:libsm6 libICE.so.6:libice6 libGL.so.1:libgl1 \
        libEGL.so.1:libegl1 libgomp.so.1:libgomp1
    do
        library="${pair%%:*}"
        PATH="$PATH:/sbin:/usr/sbin" ldconfig -p | grep -q "$library" || missing="$missing ${pair##*:}"
    done
    command -v cmake >/dev/null || missing="$missing cmake"
    command -v g++ >/dev/null || missing="$missing g++"
    command -v pkg-config >/dev/null || missing="$missing pkg-config"
    for tool in clang-format clang-tidy; do
        command -v "$tool" >/dev/null || missing="$missing $tool"
    done
    for pair in zmq.h:libzmq3-dev zlib.h:zlib1g-dev msgpack.hpp:libmsgpack-cxx-dev; do
        [ -e "/usr/include/${pair%%:*}" ] || missing="$missing ${pair##*:}"
    done
    # libFuzzer, for the short fuzzing run of the C++ decoder: clang with its run-time library.
    probe='extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }'
    if ! echo "$probe" | clang++ -fsanitize=fuzzer,address -x c++ - -o /dev/null 2>/dev/null; then
        missing="$missing clang libclang-rt-dev"
    fi
fi

[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null; then
    echo "Missing system packages (Debian names):$missing" >&2
    exit 1
fi
if [ "$(id -u)" = 0 ]; then
    as_root=""
elif sudo -n true 2>/dev/null; then
    as_root="sudo"
else
    echo "Missing system packages; please run: sudo apt-get install$missing" >&2
    exit 1
fi
$as_root apt-get -qq update
# Ubuntu 22.04 has the C++ headers of msgpack in libmsgpack-dev.
if ! apt-cache show libmsgpack-cxx-dev >/dev/null 2>&1; then
    missing=$(echo "$missing" | sed 's/libmsgpack-cxx-dev/libmsgpack-dev/')
fi
# There, libFuzzer comes with clang.
if ! apt-cache show libclang-rt-dev >/dev/null 2>&1; then
    missing=$(echo "$missing" | sed 's/ libclang-rt-dev//')
fi
# shellcheck disable=SC2086  # a list of package names
DEBIAN_FRONTEND=noninteractive $as_root apt-get -qq install --yes --no-install-recommends $missing >/dev/null
