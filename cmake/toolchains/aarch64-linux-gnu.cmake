# Cross-compiling for boards of 64-bit Arm with Debian's g++-aarch64-linux-gnu. The libraries are those of the
# architecture arm64 (dpkg --add-architecture arm64; apt-get install libzmq3-dev:arm64 zlib1g-dev:arm64), or those of
# RUBBLEMAP_SYSROOT, a copy of a board's root file system.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)

set(RUBBLEMAP_SYSROOT "" CACHE PATH "Root file system of the board; empty: the compiler's own")
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES RUBBLEMAP_SYSROOT)
if(RUBBLEMAP_SYSROOT)
  set(CMAKE_SYSROOT ${RUBBLEMAP_SYSROOT})
  set(CMAKE_FIND_ROOT_PATH ${RUBBLEMAP_SYSROOT})
  set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
  set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
  set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
endif()
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)

# Tests run under qemu-user where it is installed.
find_program(RUBBLEMAP_QEMU NAMES qemu-aarch64 qemu-aarch64-static)
if(RUBBLEMAP_QEMU)
  # Where their dynamic linker and libraries are: without a board's, the cross-compiler's.
  set(rubblemap_libraries /usr/aarch64-linux-gnu)
  if(RUBBLEMAP_SYSROOT)
    set(rubblemap_libraries ${RUBBLEMAP_SYSROOT})
  endif()
  set(CMAKE_CROSSCOMPILING_EMULATOR ${RUBBLEMAP_QEMU} -L ${rubblemap_libraries})
endif()
