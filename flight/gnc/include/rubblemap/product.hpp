// Map products of ICD schema 1: decoding and checking.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "rubblemap/bounded.hpp"
#include "rubblemap/half.hpp"
#include "rubblemap/icd.hpp"

namespace rubblemap {

// Of a product's message: topic, header and planes.
inline constexpr std::size_t most_parts = 2 + most_planes;

// One part of a message, not owned.
struct Part {
  const std::uint8_t* data = nullptr;
  std::size_t size = 0;
};

inline bool operator==(Topic topic, std::string_view name) noexcept { return name_of(topic) == name; }
inline bool operator!=(Topic topic, std::string_view name) noexcept { return name_of(topic) != name; }
inline bool operator==(Role role, std::string_view name) noexcept { return name_of(role) == name; }
inline bool operator!=(Role role, std::string_view name) noexcept { return name_of(role) != name; }

// One plane, row-major, a view of its message part. shape: (H, W) or (K, H, W).
struct Plane {
  Text<32> name;
  Text<16> units;
  Dtype dtype = Dtype::u8;
  List<std::uint32_t, 3> shape;
  Part bytes;
};

struct ClassDefinition {
  unsigned index = 0;
  Text<32> name;
  Role role = Role::background;
};

// Which networks made the maps. sha256: 64 hexadecimal digits.
struct Bundle {
  Text<64> name;
  Text<32> version;
  Text<64> sha256;
};

// How long each stage took, milliseconds.
struct Timing {
  double queue = 0.0;
  double center = 0.0;
  double passes = 0.0;
  double fuse = 0.0;
  double publish = 0.0;
};

// How uncertain pixels are marked: where their entropy, scaled to 0..1 over the map, lies above uncertainty_threshold;
// or where it lies above risk_threshold, and uncertainty_threshold is 1.
enum class UncertainRule : std::uint8_t { relative, risk };

// A verified product; about 7 KB, nothing of it on the heap. Times in nanoseconds. map_to_sensor:
// sensor x = a u + b v + c, y = d u + e v + f, pixel centres at integers. planes: those of the topic, in the ICD's
// order; empty when the status is invalid; valid while the message parts are.
struct Product {
  Topic topic = Topic::navigation;
  Status status = Status::invalid;
  std::uint64_t sequence = 0;
  Text<32> source;
  std::uint32_t epoch = 0;
  std::uint64_t frame_id = 0;
  std::uint64_t capture_time_ns = 0;
  std::uint64_t received_time_ns = 0;
  std::uint64_t published_time_ns = 0;
  List<Text<64>, most_flags> flags;
  Bundle bundle;
  Text<32> mode;
  double gamma = 0.0;
  unsigned passes_requested = 0;
  unsigned passes_used = 0;
  std::uint64_t seed = 0;
  double uncertainty_threshold = 0.0;
  std::array<double, 6> map_to_sensor{};
  List<ClassDefinition, most_classes> classes;
  Timing timing_ms;
  List<Plane, most_planes> planes;
  // By risk: share of an image's unmarked pixels that may be wrong, and nats above which a pixel is uncertain.
  UncertainRule uncertain_rule = UncertainRule::relative;
  double risk = 0.0;
  double risk_threshold = 0.0;

  // The plane of this name, or nullptr.
  const Plane* plane(std::string_view name) const noexcept;
  bool has_flag(std::string_view name) const noexcept;
};

// Why a product was rejected as malformed.
enum class Reason : std::uint8_t {
  wrong_parts,       // not 2 to 10 message parts
  oversized_part,    // a part beyond what was set aside for it
  malformed_header,  // the header is no msgpack map within the limits
  unknown_schema,    // the schema number is not 1
  invalid_field,     // a header field is missing, of the wrong type or out of range
  topic_mismatch,    // header and first part name different topics
  wrong_planes,      // not the planes of the topic, or not as many as parts came, or of different sizes
  size_mismatch,     // a plane's part has not the bytes of its shape and dtype
  crc_mismatch,      // a plane's CRC-32 differs from the header's
};
inline constexpr std::size_t reason_count = 9;
const char* name_of(Reason reason) noexcept;

// What broke the contract. message: one line that names the field or part, what was expected and what came.
struct Fault {
  Reason reason = Reason::wrong_parts;
  char message[256] = "";
};

class MapReader;

// Decodes products. Allocates when it is made (1.1 MB, of which a usual header touches 4 KB), never again.
class ProductDecoder {
public:
  ProductDecoder();
  ~ProductDecoder();
  ProductDecoder(const ProductDecoder&) = delete;
  ProductDecoder& operator=(const ProductDecoder&) = delete;

  // Checks and decodes [topic, header, plane, ...]: schema, topic, sizes, CRC-32. False, with the fault, for one that
  // breaks the contract; `product` must then not be used. The planes are views of the parts.
  [[nodiscard]] bool decode(const Part* parts, std::size_t count, Product& product, Fault& fault) noexcept;

private:
  std::unique_ptr<MapReader> reader_;
};

// A product that breaks the contract.
class ProductError : public std::runtime_error {
public:
  explicit ProductError(const Fault& fault) : std::runtime_error(fault.message), reason(fault.reason) {}

  const Reason reason;
};

// As ProductDecoder, for programs that may allocate. Throws ProductError.
[[nodiscard]] Product decode_product(const std::vector<Part>& parts);

}  // namespace rubblemap
