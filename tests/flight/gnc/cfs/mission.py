"""A mission of the core Flight System around the app: assembled of NASA's sources, and built for this computer."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.flight.gnc.steps import ROOT, run_step

# The releases that the app was written for: the newest of each. With cFE 7.0.0 no table can be loaded from the ground.
VERSIONS = {"CFE": "7.0.1", "OSAL": "7.0.0", "PSP": "7.0.0"}
APPS = (ROOT / "flight" / "gnc" / "cfs", ROOT / "tests" / "flight" / "gnc" / "cfs")

_TARGETS = """\
set(MISSION_NAME "Rubblemap")
set(SPACECRAFT_ID 0x42)
# Without cFE's own test apps, whose tables need a tool of another repository.
set(MISSION_GLOBAL_APPLIST)
set(MISSION_CPUNAMES cpu1)
set(cpu1_PROCESSORID 1)
set(cpu1_APPLIST rubblemap ground_link)
set(cpu1_FILELIST cfe_es_startup.scr)
set(cpu1_SYSTEM native)
"""
_STARTUP = """\
CFE_APP, rubblemap,   RUBBLEMAP_AppMain,   RUBBLEMAP,   50, 131072, 0x0, 0;
CFE_APP, ground_link, GROUND_LINK_AppMain, GROUND_LINK, 60, 65536,  0x0, 0;
!
"""
# In place of elf2cfetbl, a repository of its own: the tables' sources are compiled, and ground.py writes their files.
_TOOLS = """\
set(CFS_TABLETOOL_SCRIPT_DIR "${CMAKE_CURRENT_SOURCE_DIR}/tables" PARENT_SCOPE)
# mission-install wants a rule to install at the top, where nothing else has one.
install(CODE "")
"""
_TABLES = """\
function(do_add_cfe_tables_impl NAME)
  cmake_parse_arguments(TABLE "" "APP_NAME;TARGET_NAME;INSTALL_SUBDIR" "" ${ARGN})
  add_library(${NAME}.${TABLE_TARGET_NAME} OBJECT ${TABLE_UNPARSED_ARGUMENTS})
  target_link_libraries(${NAME}.${TABLE_TARGET_NAME} PRIVATE ${TABLE_APP_NAME}.table)
endfunction()
"""


@dataclass(frozen=True)
class Sources:
    """Folders of NASA's repositories."""

    cfe: Path
    osal: Path
    psp: Path


# Where each says which release it is.
VERSION_FILES = {
    "CFE": ("modules/core_api/fsw/inc/cfe_version.h", "CFE_BUILD_BASELINE"),
    "OSAL": ("src/os/inc/osapi-version.h", "OS_BUILD_BASELINE"),
    "PSP": ("fsw/pc-linux/inc/psp_version.h", "CFE_PSP_IMPL_BUILD_BASELINE"),
}


def check_sources(folders: Mapping[str, str], bundle: str) -> Sources:
    """Check that folders are NASA's repositories, of the releases that the app is for.

    Args:
        folders: by CFE, OSAL and PSP; "" for that in the bundle.
        bundle: a folder with cfe, osal and psp in it, as a checkout of the cFS has; "" for none.

    Raises:
        ValueError: they are not; says which, what was expected and what came.
    """
    found = {name: _check_folder(name, folders[name], bundle) for name in VERSION_FILES}
    return Sources(found["CFE"], found["OSAL"], found["PSP"])


def _check_folder(name: str, folder: str, bundle: str) -> Path:
    expected = f"{name}: expected a folder with NASA's {name} {VERSIONS[name]}"
    if not folder and not bundle:
        raise ValueError(f"{expected}, got nothing: make integration-cfs CFE=DIR OSAL=DIR PSP=DIR, or CFS=DIR")
    path = Path(folder).resolve() if folder else Path(bundle).resolve() / name.lower()
    file, macro = VERSION_FILES[name]
    try:
        text = (path / file).read_text(encoding="utf-8")
    except OSError:
        raise ValueError(f"{expected}, got {path}, without {file}") from None
    stated = re.search(rf'#define {macro}\s+"v?([^"]+)"', text)
    if stated is None or stated[1] != VERSIONS[name]:
        raise ValueError(f"{expected}, got {path}, whose {file} says {stated[1] if stated else 'none'}")
    return path


def assemble(sources: Sources, folder: Path) -> None:
    """Copy the sources, cFE's sample configuration and the mission's own files into a folder.

    Args:
        sources: NASA's.
        folder: the mission's.
    """
    for name, source in vars(sources).items():
        shutil.copytree(source, folder / name, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".git"))
    definitions = folder / "rubblemap_defs"
    shutil.copytree(folder / "cfe" / "cmake" / "sample_defs", definitions, dirs_exist_ok=True)
    own = {
        definitions / "targets.cmake": _TARGETS,
        definitions / "cpu1_cfe_es_startup.scr": _STARTUP,
        folder / "tools" / "CMakeLists.txt": _TOOLS,
        folder / "tools" / "tables" / "add_cfe_tables_impl.cmake": _TABLES,
    }
    for path, text in own.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:  # without building anew what is the same
            path.write_text(text, encoding="utf-8")


def build(mission: Path, jobs: int, logs: Path) -> Path:
    """Build and install the library and the mission beside it.

    Args:
        mission: folder of `assemble`.
        jobs: compilers at the same time.
        logs: folder of the steps' logs.

    Returns:
        The folder that the flight software runs in, with core-cpu1.

    Raises:
        StepError: a step failed.
    """
    library, prefix, built = mission / "library", mission / "prefix", mission / "build"
    options = ["-DRUBBLEMAP_BUILD_EXAMPLES=OFF", "-DRUBBLEMAP_BUILD_TESTS=OFF", "-DCMAKE_BUILD_TYPE=Release"]
    run_step(logs, "configure the library", "cmake", "-S", ROOT, "-B", library, *options)
    run_step(logs, "build the library", "cmake", "--build", library, "--parallel", jobs)
    run_step(logs, "install the library", "cmake", "--install", library, "--prefix", prefix)
    settings = {
        "MISSIONCONFIG": "rubblemap",
        "SIMULATION": "native",
        "CFS_APP_PATH": ":".join(map(str, APPS)),
        "CMAKE_PREFIX_PATH": prefix,
        "CMAKE_INSTALL_PREFIX": "/exe",
        "CMAKE_BUILD_TYPE": "debug",
    }
    configure = [
        "cmake",
        "-S",
        mission / "cfe",
        "-B",
        built,
        *(f"-D{name}={value}" for name, value in settings.items()),
    ]
    run_step(logs, "configure the mission", *configure)
    run_step(logs, "build the mission", "make", "-C", built, f"-j{jobs}", f"DESTDIR={built}", "mission-install")
    return built / "exe" / "cpu1"
