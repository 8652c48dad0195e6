// The wire contract, ICD schema 1: limits, names, planes and flags. docs/icd.md says what they mean.
// Written from flight/icd by `python -m flight.icd.document --write`; a test keeps it equal to that.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace rubblemap {

inline constexpr std::uint64_t schema_version = 1;

// Bytes of a frame's header, its pixels, a product's header, a command or reply; entries of a product; how
// deep maps and arrays are nested in any header or map, itself included, and items of an array in it.
inline constexpr std::size_t most_frame_header_bytes = 4096;
inline constexpr std::size_t most_message_bytes = 41943040;
inline constexpr std::size_t most_header_bytes = 65536;
inline constexpr std::size_t most_command_bytes = 65536;
inline constexpr std::size_t most_flags = 32;
inline constexpr std::size_t most_classes = 64;
inline constexpr std::size_t most_planes = 8;
inline constexpr std::size_t most_nesting = 32;
inline constexpr std::size_t most_array_items = 1024;

// Missing numbers in a sequence that may be lost products; more of them are no loss.
inline constexpr std::uint64_t largest_gap = 1000000;

// Of a frame and of a map, pixels; a map may be smaller.
inline constexpr std::uint32_t smallest_side = 16;
inline constexpr std::uint32_t largest_side = 4096;

// Largest hazard probability, and predictive entropy over ln K, of a pixel that the service's clearance
// takes for safe, unless it is configured otherwise.
inline constexpr double default_most_hazard_probability = 0.4;
inline constexpr double default_most_entropy = 0.5;

// Where the service binds its sockets unless the configuration says otherwise.
inline constexpr const char* default_frames_endpoint = "tcp://127.0.0.1:5601";
inline constexpr const char* default_products_endpoint = "tcp://127.0.0.1:5602";
inline constexpr const char* default_telemetry_endpoint = "tcp://127.0.0.1:5603";
inline constexpr const char* default_commands_endpoint = "tcp://127.0.0.1:5604";

// What a product carries.
enum class Topic : std::uint8_t { navigation, hazard, full };
inline constexpr std::size_t topic_count = 3;
inline constexpr std::array<std::string_view, topic_count> topic_names = {
    "map.navigation",
    "map.hazard",
    "map.full",
};
constexpr std::string_view name_of(Topic topic) noexcept { return topic_names[static_cast<std::size_t>(topic)]; }

// Of a product, from the best to the worst.
enum class Status : std::uint8_t { valid, degraded, invalid };
inline constexpr std::size_t status_count = 3;
inline constexpr std::array<std::string_view, status_count> status_names = {
    "valid",
    "degraded",
    "invalid",
};
constexpr std::string_view name_of(Status status) noexcept { return status_names[static_cast<std::size_t>(status)]; }

// Of a plane: one byte, or IEEE 754 binary16, little-endian.
enum class Dtype : std::uint8_t { u8, f16 };
inline constexpr std::size_t dtype_count = 2;
inline constexpr std::array<std::string_view, dtype_count> dtype_names = {
    "u8",
    "f16",
};
constexpr std::string_view name_of(Dtype dtype) noexcept { return dtype_names[static_cast<std::size_t>(dtype)]; }

// What a class means to a consumer.
enum class Role : std::uint8_t { background, safe, hazard, terminator };
inline constexpr std::size_t role_count = 4;
inline constexpr std::array<std::string_view, role_count> role_names = {
    "background",
    "safe",
    "hazard",
    "terminator",
};
constexpr std::string_view name_of(Role role) noexcept { return role_names[static_cast<std::size_t>(role)]; }

// How a command ended.
enum class ReplyStatus : std::uint8_t { completed, rejected, failed };
inline constexpr std::size_t reply_status_count = 3;
inline constexpr std::array<std::string_view, reply_status_count> reply_status_names = {
    "completed",
    "rejected",
    "failed",
};
constexpr std::string_view name_of(ReplyStatus reply_status) noexcept {
  return reply_status_names[static_cast<std::size_t>(reply_status)];
}

// One plane of a product. dimensions: 2 for (H, W), 3 for (K, H, W).
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

// By Topic.
inline constexpr std::array<TopicPlanes, topic_count> topic_planes = {{
    {
        3,
        {{
            {"class_map", Dtype::u8, 2},
            {"enhanced_class_map", Dtype::u8, 2},
            {"predictive_entropy", Dtype::f16, 2},
        }},
    },
    {
        4,
        {{
            {"hazard_probability", Dtype::f16, 2},
            {"predictive_entropy", Dtype::f16, 2},
            {"enhanced_class_map", Dtype::u8, 2},
            {"clearance", Dtype::f16, 2},
        }},
    },
    {
        5,
        {{
            {"mean_probability", Dtype::f16, 3},
            {"predictive_entropy", Dtype::f16, 2},
            {"mutual_information", Dtype::f16, 2},
            {"class_map", Dtype::u8, 2},
            {"enhanced_class_map", Dtype::u8, 2},
        }},
    },
}};
constexpr const TopicPlanes& planes_of(Topic topic) noexcept { return topic_planes[static_cast<std::size_t>(topic)]; }

// One product flag. status: what the product's status becomes, or worse. forbids_: the consumer refuses the
// map; of an invalid product, which has no map, nothing needs to be forbidden.
struct FlagDefinition {
  std::string_view name;
  Status status = Status::valid;
  bool forbids_navigation_fix = false;
  bool forbids_landing_circles = false;
};

// In the ICD's order.
inline constexpr std::array<FlagDefinition, 15> flag_definitions = {{
    {"deadline", Status::degraded, false, false},
    {"single_pass", Status::valid, false, false},
    {"body_not_found", Status::degraded, true, true},
    {"dark", Status::degraded, true, true},
    {"empty_sky", Status::degraded, true, true},
    {"saturated", Status::degraded, false, true},
    {"body_small", Status::degraded, false, true},
    {"body_cut", Status::valid, false, false},
    {"several_bodies", Status::valid, false, false},
    {"high_entropy", Status::degraded, false, true},
    {"bundle_damaged", Status::degraded, false, false},
    {"worker_failed", Status::invalid, false, false},
    {"frame_refused", Status::invalid, false, false},
    {"safe_state", Status::invalid, false, false},
    {"not_a_body", Status::degraded, true, true},
}};

// What the code of a reply may be.
namespace reply_codes {
inline constexpr std::string_view ok = "ok";
inline constexpr std::string_view malformed = "malformed";
inline constexpr std::string_view unknown_command = "unknown_command";
inline constexpr std::string_view invalid_argument = "invalid_argument";
inline constexpr std::string_view unknown_parameter = "unknown_parameter";
inline constexpr std::string_view not_configured = "not_configured";
inline constexpr std::string_view not_staged = "not_staged";
inline constexpr std::string_view not_valid = "not_valid";
inline constexpr std::string_view busy = "busy";
inline constexpr std::string_view wrong_state = "wrong_state";
inline constexpr std::string_view storage_failed = "storage_failed";
inline constexpr std::string_view internal_error = "internal_error";
}  // namespace reply_codes

}  // namespace rubblemap
