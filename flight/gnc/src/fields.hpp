// Checked reading of the fields of a message's map, with faults that name the field.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <string_view>

#include "map_reader.hpp"
#include "rubblemap/bounded.hpp"
#include "rubblemap/product.hpp"

namespace rubblemap {

// Where a map stands in the message: "map", "map.bundle", or "map.classes" with its number in the list.
struct Place {
  const char* name;
  int number = -1;
};

// Reads the fields of one map. Every method returns false (or nullptr), with the fault written, when the field is
// missing, of another type or out of range.
class Fields {
public:
  Fields(const MapReader& reader, const Token& map, Place place, Fault& fault) noexcept
      : reader_(reader), map_(map), place_(place), fault_(fault) {}

  [[nodiscard]] bool has(const char* name) const noexcept { return reader_.find(map_, name) != nullptr; }
  [[nodiscard]] const Token* value(const char* name) noexcept;
  [[nodiscard]] const Token* array(const char* name, std::uint32_t low, std::uint32_t high) noexcept;
  [[nodiscard]] const Token* map(const char* name) noexcept;
  [[nodiscard]] bool number(const char* name, double low, double high, double& result) noexcept;
  [[nodiscard]] bool number(const char* name, const Token& token, double low, double high, double& result) noexcept;

  // A text that is one of the names of an enumeration, in its order.
  template <typename Choice, std::size_t Count>
  [[nodiscard]] bool choice(const char* name, const std::array<std::string_view, Count>& names,
                            Choice& result) noexcept {
    const Token* token = value(name);
    if (token == nullptr) return false;
    for (std::size_t i = 0; token->kind == Kind::text && i < Count; ++i) {
      if (names[i] != std::string_view(token->text, token->size)) continue;
      result = static_cast<Choice>(i);
      return true;
    }
    return reject_choice(name, *token, names.data(), Count);
  }

  template <typename Whole>
  [[nodiscard]] bool whole(const char* name, std::uint64_t low, std::uint64_t high, Whole& result) noexcept {
    const Token* token = value(name);
    return token != nullptr && whole(name, *token, low, high, result);
  }

  template <typename Whole>
  [[nodiscard]] bool whole(const char* name, const Token& token, std::uint64_t low, std::uint64_t high,
                           Whole& result) noexcept {
    std::uint64_t wide = 0;
    if (!wide_whole(name, token, low, high, wide)) return false;
    result = static_cast<Whole>(wide);  // the callers' ranges fit
    return true;
  }

  template <typename Whole>
  [[nodiscard]] bool whole(const char* name, Whole& result) noexcept {
    return whole(name, 0, std::numeric_limits<Whole>::max(), result);
  }

  template <std::size_t Capacity>
  [[nodiscard]] bool text(const char* name, Text<Capacity>& result) noexcept {
    const Token* token = value(name);
    return token != nullptr && text(name, *token, result);
  }

  template <std::size_t Capacity>
  [[nodiscard]] bool text(const char* name, const Token& token, Text<Capacity>& result) noexcept {
    return (token.kind == Kind::text && result.assign({token.text, token.size})) || reject_text(name, token, Capacity);
  }

  // Always false: writes the fault "place.name: expected ..., got ...".
  bool reject(const char* name, const char* expected, const Token* got, Reason reason = Reason::invalid_field) noexcept;

private:
  bool wide_whole(const char* name, const Token& token, std::uint64_t low, std::uint64_t high,
                  std::uint64_t& result) noexcept;
  bool reject_text(const char* name, const Token& token, std::size_t most) noexcept;
  bool reject_choice(const char* name, const Token& token, const std::string_view* names, std::size_t count) noexcept;

  const MapReader& reader_;
  const Token& map_;
  const Place place_;
  Fault& fault_;
};

// Always false: writes the fault, as printf does.
[[gnu::format(printf, 3, 4)]] bool reject(Fault& fault, Reason reason, const char* format, ...) noexcept;

}  // namespace rubblemap
