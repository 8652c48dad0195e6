// Map products of ICD schema 1: decoding and checking.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace rubblemap {

// A product that breaks the contract; what() names the field or part, what was expected and what came.
class ProductError : public std::runtime_error {
public:
  using std::runtime_error::runtime_error;
};

// One part of a message, not owned.
struct Part {
  const std::uint8_t* data;
  std::size_t size;
};

enum class Status { valid, degraded, invalid };
enum class Dtype { u8, f16 };

// One plane, row-major, a view of its message part. shape: (H, W) or (K, H, W).
struct Plane {
  std::string name;
  std::string units;
  Dtype dtype;
  std::vector<std::uint32_t> shape;
  Part bytes;
};

struct ClassDefinition {
  unsigned index;
  std::string name;
  std::string role;  // background, safe, hazard or terminator
};

// A verified product. Times in nanoseconds. map_to_sensor: sensor x = a u + b v + c, y = d u + e v + f, pixel
// centres at integers. planes: empty when the status is invalid; valid while the message parts are.
struct Product {
  std::string topic;
  std::uint64_t sequence;
  std::string source;
  std::uint32_t epoch;
  std::uint64_t frame_id;
  std::uint64_t capture_time_ns;
  std::uint64_t received_time_ns;
  std::uint64_t published_time_ns;
  Status status;
  std::vector<std::string> flags;
  std::string mode;
  unsigned passes_requested;
  unsigned passes_used;
  std::array<double, 6> map_to_sensor;
  std::vector<ClassDefinition> classes;
  std::vector<Plane> planes;

  // The plane of this name, or nullptr.
  const Plane* plane(const std::string& name) const;
};

// Checks and decodes [topic, header, plane, ...]: schema, topic, sizes, CRC-32. Throws ProductError; nothing of a
// product that fails is handed over.
Product decode_product(const std::vector<Part>& parts);

// The value of one IEEE 754 binary16 number, little-endian, at `data`.
float half_to_float(const std::uint8_t* data);

}  // namespace rubblemap
