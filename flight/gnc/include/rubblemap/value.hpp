// Values of a command's arguments and of a reply's result.
#pragma once

#include <cstdint>
#include <string_view>
#include <type_traits>

namespace rubblemap {

// A msgpack value. Texts are views.
struct Value {
  enum class Type : std::uint8_t { nil, boolean, whole, negative, real, text, list, map };

  Type type = Type::nil;
  bool boolean = false;
  std::uint64_t whole = 0;    // integers from 0 on
  std::int64_t negative = 0;  // integers below 0
  double real = 0.0;
  std::string_view text;
  std::uint32_t size = 0;  // items of a list, pairs of a map

  Value() noexcept = default;
  Value(bool value) noexcept : type(Type::boolean), boolean(value) {}
  Value(double value) noexcept : type(Type::real), real(value) {}
  Value(const char* value) noexcept : type(Type::text), text(value) {}
  Value(std::string_view value) noexcept : type(Type::text), text(value) {}

  template <typename Integer, std::enable_if_t<std::is_integral_v<Integer>, int> = 0>
  Value(Integer value) noexcept {
    if constexpr (std::is_signed_v<Integer>) {
      if (value < 0) {
        type = Type::negative;
        negative = value;
        return;
      }
    }
    type = Type::whole;
    whole = static_cast<std::uint64_t>(value);
  }
};

struct Argument {
  std::string_view name;
  Value value;
};

}  // namespace rubblemap
