"""The cFS app, without the cFS: its names are those of the catalogue, the library and the page.

Whether it builds and does what it should, `make integration-cfs` shows.
"""

from __future__ import annotations

import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from flight.icd.catalogue import COMMANDS
from flight.icd.catalogue.states import STATES
from tests.flight.gnc.cfs import ground, mission

ROOT = mission.ROOT
CODE = "".join(path.read_text(encoding="utf-8") for path in sorted((ground.APP / "fsw" / "src").glob("*.c")))
MESSAGES = (ground.APP / "fsw" / "inc" / "rubblemap_msg.h").read_text(encoding="utf-8")
SECTION = (ROOT / "docs" / "gnc.md").read_text(encoding="utf-8").split("\n## In a cFS app\n")[1].split("\n## ")[0]
OWN_COMMANDS = {"NOOP", "RESET_COUNTERS", "TELL_PARAMETER"}
# Their arguments or results are maps: TELL_PARAMETER tells one of the parameters.
NOT_PASSED_ON = {"get_parameters", "set_parameters"}


def test_commands_are_the_catalogues_with_its_arguments() -> None:
    passed = {name: definition for name, definition in COMMANDS.items() if name not in NOT_PASSED_ON}
    assert set(ground.COMMANDS) == OWN_COMMANDS | {f"SERVICE_{name.upper()}" for name in passed}
    rows = re.findall(r'\{RUBBLEMAP_SERVICE_(\w+)_CC, "(\w+)", (\w+), (true|false)\}', CODE)
    assert [name for _, name, _, _ in rows] == list(passed)
    for code, name, arguments, takes_time in rows:
        assert code == name.upper()
        assert (takes_time == "true") == passed[name].takes_time
        assert arguments == (name.upper() if passed[name].arguments else "PLAIN")
        branch = CODE.split(f"passed->arguments == {arguments}) {{")[-1].split("} else if")[0].split("\n  }")[0]
        given = re.findall(r'\.name = "(\w+)"', branch) if arguments != "PLAIN" else []
        assert given == [argument.name for argument in passed[name].arguments]
    for name in OWN_COMMANDS:
        assert f"case RUBBLEMAP_{name}_CC:" in CODE


def test_every_number_is_given_once_and_used() -> None:
    for numbers, ending in ((ground.EVENTS, "EID"), (ground.COMMANDS, "CC")):
        assert len(set(numbers.values())) == len(numbers) > 10
        for name in numbers:
            assert f"RUBBLEMAP_{name}_{ending}" in CODE, name
    for telemetry in (True, False):
        topics = [number for name, number in ground.TOPICS.items() if name.endswith("_TLM") == telemetry]
        assert len(set(topics)) == len(topics) == 3


def test_states_are_the_catalogues() -> None:
    names = re.findall(r"RUBBLEMAP_ServiceState_(\w+) = \d", MESSAGES)
    assert names == ["UNKNOWN", *(state.upper() for state in STATES)]
    listed = re.search(r"state_names\[\] = \{(.*?)\}", CODE)
    assert listed is not None
    assert re.findall(r'"(\w+)"', listed[1]) == [name.lower() for name in names]


def test_the_page_tells_of_everything() -> None:
    told = set(re.findall(r"`(\w+)`", SECTION))
    assert set(ground.EVENTS) <= told
    assert set(ground.COMMANDS) <= told
    identifiers = dict(re.findall(r"^\| `RUBBLEMAP_(\w+)_MID` \| (0x\w{4}) \|", SECTION, re.MULTILINE))
    bases = {name: 0x0800 if name.endswith("_TLM") else 0x1800 for name in ground.TOPICS}
    assert {name: int(text, 16) for name, text in identifiers.items()} == {
        name: bases[name] + number for name, number in ground.TOPICS.items()
    }


def test_the_pages_excerpt_is_the_apps() -> None:
    (excerpt,) = re.findall(r"```c\n(.*?)```", SECTION, re.DOTALL)
    assert excerpt in CODE


def test_the_page_types_of_events_are_the_apps() -> None:
    rows = re.findall(r"^\| (`.*?`) \| (\w+) \|", SECTION.split("- **Events.**")[1], re.MULTILINE)
    told = {name: kind for names, kind in rows for name in re.findall(r"`(\w+)`", names)}
    assert set(told) == set(ground.EVENTS)
    for name, kind in told.items():
        sent = re.findall(rf"RUBBLEMAP_{name}_EID, CFE_EVS_EventType_(\w+)", CODE)
        # Those of refusals are handed on as arguments.
        assert set(sent) == {kind.upper()} or (not sent and name.startswith(("FIX_", "SITES_"))), name


def test_the_page_names_the_releases_that_the_command_wants() -> None:
    versions = mission.VERSIONS
    assert f"cFE {versions['CFE']}, OSAL {versions['OSAL']} and PSP {versions['PSP']}" in SECTION
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "python -m tests.flight.gnc.cfs.integration" in makefile


def test_a_tables_file_has_cfes_headers(tmp_path: Path) -> None:
    data = ground.write_table(
        tmp_path / "config.tbl", products_endpoint="ipc:///tmp/products", max_width=128
    ).read_bytes()
    content, subtype, length = struct.unpack_from(">4sII", data)
    assert (content, subtype, length) == (b"cFE1", 8, 64)
    size, name = struct.unpack_from(">I40s", data, 72)
    assert name.rstrip(b"\0").decode() == "RUBBLEMAP.Config"
    assert size == len(data) - 64 - 52
    fields = re.findall(
        r"^  (?:char|double|uint32) (\w+)", (ground.APP / "fsw/inc/rubblemap_tbl.h").read_text(), re.MULTILINE
    )
    assert fields[-1] == "max_width"
    assert struct.unpack_from("<I", data, len(data) - 4) == (128,)


@pytest.mark.parametrize(
    ("versions", "message"),
    [
        ({}, "CFE: expected .* got .*cfe, without modules/core_api/fsw/inc/cfe_version.h"),
        ({"CFE": "7.0.0"}, "CFE: expected .* whose modules/core_api/fsw/inc/cfe_version.h says 7.0.0"),
        ({"CFE": "7.0.1", "OSAL": "6.0.0"}, "OSAL: expected a folder with NASA's OSAL 7.0.0, got .* says 6.0.0"),
        ({"CFE": "7.0.1", "OSAL": "7.0.0"}, "PSP: expected .* got .*psp, without fsw/pc-linux/inc/psp_version.h"),
    ],
)
def test_another_release_is_refused(versions: dict[str, str], message: str, tmp_path: Path) -> None:
    for name, version in versions.items():
        file, macro = mission.VERSION_FILES[name]
        path = tmp_path / name.lower() / file
        path.parent.mkdir(parents=True)
        path.write_text(f'#define {macro} "v{version}"\n', encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        mission.check_sources({"CFE": "", "OSAL": "", "PSP": ""}, str(tmp_path))


def test_a_missing_folder_is_said_in_one_line() -> None:
    command = [sys.executable, "-m", "tests.flight.gnc.cfs.integration"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "got nothing: make integration-cfs CFE=DIR OSAL=DIR PSP=DIR, or CFS=DIR" in done.stderr
    assert done.stderr.count("\n") == 1
