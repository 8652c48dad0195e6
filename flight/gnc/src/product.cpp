#include "rubblemap/product.hpp"

#include <zlib.h>

#include <cmath>
#include <limits>
#include <msgpack.hpp>

namespace rubblemap {
namespace {

constexpr std::size_t header_limit = 64 * 1024;
constexpr std::size_t most_planes = 8;
constexpr std::uint32_t largest_side = 4096;

using Object = msgpack::object;

[[noreturn]] void fail(const std::string& field, const std::string& expected) {
  throw ProductError(field + ": expected " + expected);
}

// The value of a key; a map's keys are few, so that a search through them is fast enough.
const Object& field(const Object& map, const std::string& name, const std::string& where) {
  if (map.type != msgpack::type::MAP) fail(where, "a map");
  for (std::uint32_t i = 0; i < map.via.map.size; ++i) {
    const auto& entry = map.via.map.ptr[i];
    if (entry.key.type == msgpack::type::STR && name.size() == entry.key.via.str.size &&
        name.compare(0, name.size(), entry.key.via.str.ptr, entry.key.via.str.size) == 0) {
      return entry.val;
    }
  }
  fail(where + "." + name, "a value");
}

std::string text(const Object& map, const std::string& name, const std::string& where) {
  const Object& value = field(map, name, where);
  if (value.type != msgpack::type::STR) fail(where + "." + name, "text");
  return {value.via.str.ptr, value.via.str.size};
}

std::uint64_t whole(const Object& value, const std::string& where, std::uint64_t low, std::uint64_t high) {
  if (value.type != msgpack::type::POSITIVE_INTEGER || value.via.u64 < low || value.via.u64 > high) {
    fail(where, std::to_string(low) + ".." + std::to_string(high));
  }
  return value.via.u64;
}

std::uint64_t whole(const Object& map, const std::string& name, const std::string& where,
                    std::uint64_t low = 0, std::uint64_t high = std::numeric_limits<std::uint64_t>::max()) {
  return whole(field(map, name, where), where + "." + name, low, high);
}

const msgpack::object_array& array(const Object& map, const std::string& name, const std::string& where,
                                   std::size_t low, std::size_t high) {
  const Object& value = field(map, name, where);
  if (value.type != msgpack::type::ARRAY || value.via.array.size < low || value.via.array.size > high) {
    fail(where + "." + name, std::to_string(low) + ".." + std::to_string(high) + " items");
  }
  return value.via.array;
}

double number(const Object& value, const std::string& where) {
  double result = 0.0;
  switch (value.type) {
    case msgpack::type::FLOAT32:
    case msgpack::type::FLOAT64: result = value.via.f64; break;
    case msgpack::type::POSITIVE_INTEGER: result = static_cast<double>(value.via.u64); break;
    case msgpack::type::NEGATIVE_INTEGER: result = static_cast<double>(value.via.i64); break;
    default: fail(where, "a number");
  }
  if (!std::isfinite(result)) fail(where, "a finite number");
  return result;
}

Status status_of(const std::string& name) {
  if (name == "valid") return Status::valid;
  if (name == "degraded") return Status::degraded;
  if (name == "invalid") return Status::invalid;
  fail("map.status", "valid | degraded | invalid");
}

Plane decode_plane(const Object& entry, const Part& part) {
  Plane plane;
  plane.name = text(entry, "name", "plane");
  const std::string where = "plane " + plane.name;
  plane.units = text(entry, "units", where);
  const std::string dtype = text(entry, "dtype", where);
  if (dtype != "u8" && dtype != "f16") fail(where + ".dtype", "u8 | f16");
  plane.dtype = dtype == "u8" ? Dtype::u8 : Dtype::f16;
  std::uint64_t expected = plane.dtype == Dtype::u8 ? 1 : 2;
  const auto& shape = array(entry, "shape", where, 2, 3);
  for (std::uint32_t i = 0; i < shape.size; ++i) {
    const auto side = static_cast<std::uint32_t>(whole(shape.ptr[i], where + ".shape", 1, largest_side));
    plane.shape.push_back(side);
    expected *= side;  // at most 2 * 4096^3, far below 2^64
  }
  if (part.size != expected || whole(entry, "nbytes", where) != expected) {
    fail(where, std::to_string(expected) + " bytes, got " + std::to_string(part.size));
  }
  const auto crc = crc32_z(crc32_z(0, nullptr, 0), part.data, part.size);
  if (whole(entry, "crc32", where) != crc) fail(where + ".crc32", "the CRC-32 of the plane");
  plane.bytes = part;
  return plane;
}

Product decode_header(const Object& header, const std::vector<Part>& parts) {
  const std::string where = "map";
  whole(header, "schema", where, 1, 1);
  if (text(header, "type", where) != "map") fail("map.type", "map");
  Product product;
  product.topic = text(header, "topic", where);
  if (product.topic != std::string(reinterpret_cast<const char*>(parts[0].data), parts[0].size)) {
    fail("map.topic", "the topic of the first part");
  }
  product.sequence = whole(header, "sequence", where);
  product.source = text(header, "source", where);
  product.epoch = static_cast<std::uint32_t>(whole(header, "epoch", where, 0, 0xFFFFFFFFu));
  product.frame_id = whole(header, "frame_id", where);
  product.capture_time_ns = whole(header, "capture_time_ns", where);
  product.received_time_ns = whole(header, "received_time_ns", where);
  product.published_time_ns = whole(header, "published_time_ns", where);
  product.status = status_of(text(header, "status", where));
  const auto& flags = array(header, "flags", where, 0, 32);
  for (std::uint32_t i = 0; i < flags.size; ++i) {
    if (flags.ptr[i].type != msgpack::type::STR) fail("map.flags", "text");
    product.flags.emplace_back(flags.ptr[i].via.str.ptr, flags.ptr[i].via.str.size);
  }
  product.mode = text(header, "mode", where);
  product.passes_requested = static_cast<unsigned>(whole(header, "passes_requested", where, 1, 100));
  product.passes_used = static_cast<unsigned>(whole(header, "passes_used", where, 0, 100));
  const auto& affine = array(header, "map_to_sensor", where, 6, 6);
  for (std::uint32_t i = 0; i < 6; ++i) product.map_to_sensor[i] = number(affine.ptr[i], "map.map_to_sensor");
  const auto& classes = array(header, "classes", where, 2, 64);
  for (std::uint32_t i = 0; i < classes.size; ++i) {
    const Object& entry = classes.ptr[i];
    product.classes.push_back({static_cast<unsigned>(whole(entry, "index", "map.classes", 0, 63)),
                               text(entry, "name", "map.classes"), text(entry, "role", "map.classes")});
  }
  const auto& planes = array(header, "planes", where, 0, most_planes);
  if (planes.size != parts.size() - 2) {
    fail("map.planes", std::to_string(parts.size() - 2) + " entries as parts came, got " +
                           std::to_string(planes.size));
  }
  if (product.status == Status::invalid && planes.size != 0) fail("map.planes", "none in an invalid product");
  for (std::uint32_t i = 0; i < planes.size; ++i) {
    Plane plane = decode_plane(planes.ptr[i], parts[i + 2]);
    if (product.plane(plane.name) != nullptr) fail("plane " + plane.name, "one of this name, got two");
    product.planes.push_back(std::move(plane));
  }
  return product;
}

}  // namespace

const Plane* Product::plane(const std::string& name) const {
  for (const Plane& candidate : planes) {
    if (candidate.name == name) return &candidate;
  }
  return nullptr;
}

Product decode_product(const std::vector<Part>& parts) {
  if (parts.size() < 2 || parts.size() > 2 + most_planes) fail("product", "2..10 message parts");
  const Part& header = parts[1];
  if (header.size > header_limit) fail("product header", "at most 65536 bytes");
  msgpack::object_handle handle;
  try {
    std::size_t used = 0;
    const msgpack::unpack_limit limit(4096, 256, header_limit, 0, 0, 8);
    handle = msgpack::unpack(reinterpret_cast<const char*>(header.data), header.size, used, nullptr, nullptr, limit);
    if (used != header.size) fail("product header", "one msgpack map and nothing after it");
  } catch (const msgpack::unpack_error& error) {
    fail("product header", std::string("a msgpack map (") + error.what() + ")");
  }
  return decode_header(handle.get(), parts);
}

float half_to_float(const std::uint8_t* data) {
  const auto bits = static_cast<std::uint32_t>(data[0] | (data[1] << 8));
  const int exponent = static_cast<int>((bits >> 10) & 0x1Fu);
  const auto fraction = static_cast<float>(bits & 0x3FFu);
  float value = 0.0f;
  if (exponent == 31) {
    value = fraction == 0.0f ? std::numeric_limits<float>::infinity() : std::numeric_limits<float>::quiet_NaN();
  } else if (exponent == 0) {
    value = std::ldexp(fraction, -24);
  } else {
    value = std::ldexp(1024.0f + fraction, exponent - 25);
  }
  return (bits & 0x8000u) != 0 ? -value : value;
}

}  // namespace rubblemap
