"""Makes the C++ header rubblemap/icd.hpp: the catalogue's limits, names, planes and flags for the client library."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flight.icd import limits
from flight.icd.catalogue import CLASS_ROLES, FLAGS, REPLY_CODES, SOCKETS, STATUSES, TOPIC_PLANES
from flight.schema import load_schema

_HEAD = """// The wire contract, ICD schema 1: limits, names, planes and flags. docs/icd.md says what they mean.
// Written from flight/icd by `python -m flight.icd.document --write`; a test keeps it equal to that.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace rubblemap {
"""
_PLANES = """// One plane of a product. dimensions: 2 for (H, W), 3 for (K, H, W).
struct PlaneDefinition {
  std::string_view name;
  Dtype dtype = Dtype::u8;
  std::size_t dimensions = 2;
};

// The planes of one topic, in the order of the message's parts.
struct TopicPlanes {
  std::size_t count = 0;
  std::array<PlaneDefinition, most_planes> planes{};

  constexpr const PlaneDefinition* begin() const noexcept { return planes.data(); }
  constexpr const PlaneDefinition* end() const noexcept { return planes.data() + count; }
};

// By Topic."""
_FLAGS = """// One product flag. status: what the product's status becomes, or worse. forbids_: the consumer refuses the
// map; of an invalid product, which has no map, nothing needs to be forbidden.
struct FlagDefinition {
  std::string_view name;
  Status status = Status::valid;
  bool forbids_navigation_fix = false;
  bool forbids_landing_circles = false;
};

// In the ICD's order."""


def make_cpp_header() -> str:
    """Make the text of rubblemap/icd.hpp, formatted as clang-format does."""
    topics = [topic.rpartition(".")[2] for topic in TOPIC_PLANES]
    dtypes = load_schema("flight.icd.schemas", "map")["properties"]["planes"]["items"]["properties"]["dtype"]["enum"]
    reply_statuses = load_schema("flight.icd.schemas", "reply")["properties"]["status"]["enum"]
    text = [_HEAD, *_format_limits(), *_format_landing_limits(), *_format_endpoints()]
    text += _format_enumeration("Topic", "topic", topics, list(TOPIC_PLANES), "What a product carries.")
    text += _format_enumeration("Status", "status", STATUSES, STATUSES, "Of a product, from the best to the worst.")
    text += _format_enumeration(
        "Dtype", "dtype", dtypes, dtypes, "Of a plane: one byte, or IEEE 754 binary16, little-endian."
    )
    text += _format_enumeration("Role", "role", CLASS_ROLES, list(CLASS_ROLES), "What a class means to a consumer.")
    text += _format_enumeration("ReplyStatus", "reply_status", reply_statuses, reply_statuses, "How a command ended.")
    text += [*_format_planes(), *_format_flags(), *_format_reply_codes(), "}  // namespace rubblemap"]
    return "\n".join(text) + "\n"


def _format_limits() -> list[str]:
    product = load_schema("flight.icd.schemas", "map")["properties"]
    side = load_schema("flight.icd.schemas", "frame")["properties"]["height"]
    sizes = {
        "most_frame_header_bytes": limits.HEADER_BYTES,
        "most_message_bytes": limits.MESSAGE_BYTES,
        "most_header_bytes": limits.PRODUCT_HEADER_BYTES,
        "most_command_bytes": limits.COMMAND_BYTES,
        "most_flags": product["flags"]["maxItems"],
        "most_classes": product["classes"]["maxItems"],
        "most_planes": product["planes"]["maxItems"],
        "most_nesting": limits.NESTING,
        "most_array_items": limits.ARRAY_ITEMS,
    }
    sides = {"smallest_side": side["minimum"], "largest_side": side["maximum"]}
    return [
        f"inline constexpr std::uint64_t schema_version = {limits.SCHEMA_VERSION};",
        "",
        "// Bytes of a frame's header, its pixels, a product's header, a command or reply; entries of a product; how",
        "// deep maps and arrays are nested in any header or map, itself included, and items of an array in it.",
        *(f"inline constexpr std::size_t {name} = {value};" for name, value in sizes.items()),
        "",
        "// Missing numbers in a sequence that may be lost products; more of them are no loss.",
        f"inline constexpr std::uint64_t largest_gap = {limits.LARGEST_GAP};",
        "",
        "// Of a frame and of a map, pixels; a map may be smaller.",
        *(f"inline constexpr std::uint32_t {name} = {value};" for name, value in sides.items()),
        "",
    ]


def _format_landing_limits() -> list[str]:
    parameters = load_schema("flight.schemas", "configuration")["properties"]["parameters"]["properties"]
    return [
        "// Largest hazard probability, and predictive entropy over ln K, of a pixel that the service's clearance",
        "// takes for safe, unless it is configured otherwise.",
        *(
            f"inline constexpr double default_{name} = {parameters[name]['default']};"
            for name in ("most_hazard_probability", "most_entropy")
        ),
        "",
    ]


def _format_endpoints() -> list[str]:
    lines = [
        f'inline constexpr const char* default_{name}_endpoint = "{socket.default_endpoint}";'
        for name, socket in SOCKETS.items()
    ]
    return ["// Where the service binds its sockets unless the configuration says otherwise.", *lines, ""]


def _format_enumeration(kind: str, name: str, values: Iterable[str], names: Sequence[str], meaning: str) -> list[str]:
    """An enumeration, the ICD's names of its values, and name_of."""
    lookup = f"{name}_names[static_cast<std::size_t>({name})]"
    return [
        f"// {meaning}",
        f"enum class {kind} : std::uint8_t {{ {', '.join(values)} }};",
        f"inline constexpr std::size_t {name}_count = {len(names)};",
        f"inline constexpr std::array<std::string_view, {name}_count> {name}_names = {{",
        *(f'    "{text}",' for text in names),
        "};",
        *_format_function(f"std::string_view name_of({kind} {name})", lookup),
    ]


def _format_function(head: str, result: str) -> list[str]:
    """A function of one expression, on one line if it fits."""
    line = f"constexpr {head} noexcept {{ return {result}; }}"
    return [line, ""] if len(line) <= 120 else [f"constexpr {head} noexcept {{", f"  return {result};", "}", ""]


def _format_planes() -> list[str]:
    lines = [_PLANES, "inline constexpr std::array<TopicPlanes, topic_count> topic_planes = {{"]
    for planes in TOPIC_PLANES.values():
        lines += ["    {", f"        {len(planes)},", "        {{"]
        lines += [f'            {{"{plane.name}", Dtype::{plane.dtype}, {plane.dimensions}}},' for plane in planes]
        lines += ["        }},", "    },"]
    lookup = "topic_planes[static_cast<std::size_t>(topic)]"
    return [*lines, "}};", *_format_function("const TopicPlanes& planes_of(Topic topic)", lookup)]


def _format_flags() -> list[str]:
    lines = [_FLAGS, f"inline constexpr std::array<FlagDefinition, {len(FLAGS)}> flag_definitions = {{{{"]
    for name, flag in FLAGS.items():
        forbids = [str(consumer in flag.forbids).lower() for consumer in ("navigation_fix", "landing_circles")]
        lines.append(f'    {{"{name}", Status::{flag.status}, {", ".join(forbids)}}},')
    return [*lines, "}};", ""]


def _format_reply_codes() -> list[str]:
    lines = [f'inline constexpr std::string_view {code} = "{code}";' for code in REPLY_CODES]
    return ["// What the code of a reply may be.", "namespace reply_codes {", *lines, "}  // namespace reply_codes", ""]
