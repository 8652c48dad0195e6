// Encoding msgpack into memory that was set aside before.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <msgpack.hpp>
#include <string_view>

#include "rubblemap/value.hpp"

namespace rubblemap {

// What msgpack's packer writes to. full: more was written than fits; what is in the buffer is then of no use.
struct FixedBuffer {
  std::uint8_t* bytes;
  std::size_t capacity;
  std::size_t used = 0;
  bool full = false;

  void write(const char* data, std::size_t size) noexcept {
    full = full || size > capacity - used;
    if (full) return;
    std::memcpy(bytes + used, data, size);
    used += size;
  }
};

// Writes the values of a map as Python's msgpack does: the shortest integers, float64.
class Packer {
public:
  explicit Packer(FixedBuffer& buffer) : buffer_(buffer), packer_(buffer) {}

  void map(std::size_t pairs) { packer_.pack_map(static_cast<std::uint32_t>(pairs)); }
  void array(std::size_t items) { packer_.pack_array(static_cast<std::uint32_t>(items)); }
  void text(std::string_view value) {
    packer_.pack_str(static_cast<std::uint32_t>(value.size()));
    packer_.pack_str_body(value.data(), static_cast<std::uint32_t>(value.size()));
  }
  void whole(std::uint64_t value) { packer_.pack_uint64(value); }

  // Not pack_double, which turns whole numbers into integers.
  void real(double value) {
    std::uint64_t bits = 0;
    static_assert(sizeof bits == sizeof value, "IEEE doubles");
    std::memcpy(&bits, &value, sizeof bits);
    char bytes[9] = {'\xCB'};
    for (int i = 8; i > 0; --i, bits >>= 8) bytes[i] = static_cast<char>(bits & 0xFFu);
    buffer_.write(bytes, sizeof bytes);
  }

  void boolean(bool value) { value ? packer_.pack_true() : packer_.pack_false(); }

  void value(const Value& value) {
    switch (value.type) {
      case Value::Type::boolean: boolean(value.boolean); break;
      case Value::Type::whole: whole(value.whole); break;
      case Value::Type::negative: packer_.pack_int64(value.negative); break;
      case Value::Type::real: real(value.real); break;
      case Value::Type::text: text(value.text); break;
      default: packer_.pack_nil(); break;
    }
  }

private:
  FixedBuffer& buffer_;
  msgpack::packer<FixedBuffer> packer_;
};

}  // namespace rubblemap
