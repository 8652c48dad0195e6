#include "fields.hpp"

#include <cinttypes>
#include <cstdarg>
#include <cstdio>

namespace rubblemap {
namespace {

// A value as it may stand in a fault: short, and in printable ASCII, whatever was sent.
struct Shown {
  char text[64];

  explicit Shown(const Token* token) noexcept {
    if (token == nullptr) {
      std::snprintf(text, sizeof text, "nothing");
      return;
    }
    switch (token->kind) {
      case Kind::nil: std::snprintf(text, sizeof text, "nil"); break;
      case Kind::boolean: std::snprintf(text, sizeof text, token->boolean ? "true" : "false"); break;
      case Kind::whole: std::snprintf(text, sizeof text, "%" PRIu64, token->whole); break;
      case Kind::negative: std::snprintf(text, sizeof text, "%" PRId64, token->negative); break;
      case Kind::real: std::snprintf(text, sizeof text, "%.6g", token->real); break;
      case Kind::array: std::snprintf(text, sizeof text, "%" PRIu32 " items", token->size); break;
      case Kind::map: std::snprintf(text, sizeof text, "a map"); break;
      case Kind::text: show_text({token->text, token->size}); break;
    }
  }

private:
  void show_text(std::string_view value) noexcept {
    constexpr std::size_t most = 40;
    std::size_t used = 0;
    text[used++] = '\'';
    for (std::size_t i = 0; i < value.size() && i < most; ++i) {
      text[used++] = value[i] >= ' ' && value[i] <= '~' ? value[i] : '?';
    }
    std::snprintf(text + used, sizeof text - used, value.size() > most ? "...'" : "'");
  }
};

}  // namespace

bool reject(Fault& fault, Reason reason, const char* format, ...) noexcept {
  fault.reason = reason;
  std::va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(fault.message, sizeof fault.message, format, arguments);
  va_end(arguments);
  return false;
}

bool Fields::reject(const char* name, const char* expected, const Token* got, Reason reason) noexcept {
  const Shown shown(got);
  if (place_.number < 0) {
    return rubblemap::reject(fault_, reason, "%s.%s: expected %s, got %s", place_.name, name, expected, shown.text);
  }
  return rubblemap::reject(fault_, reason, "%s[%d].%s: expected %s, got %s", place_.name, place_.number, name, expected,
                           shown.text);
}

bool Fields::reject_text(const char* name, const Token& token, std::size_t most) noexcept {
  char expected[48];
  std::snprintf(expected, sizeof expected, "text of at most %zu bytes", most);
  return reject(name, expected, &token);
}

bool Fields::reject_choice(const char* name, const Token& token, const std::string_view* names,
                           std::size_t count) noexcept {
  Text<120> expected;
  for (std::size_t i = 0; i < count; ++i) {
    expected.append(i == 0 ? "" : " | ");
    expected.append(names[i]);
  }
  return reject(name, expected.c_str(), &token);
}

const Token* Fields::value(const char* name) noexcept {
  const Token* token = reader_.find(map_, name);
  if (token == nullptr) reject(name, "a value", nullptr);
  return token;
}

const Token* Fields::array(const char* name, std::uint32_t low, std::uint32_t high) noexcept {
  const Token* token = value(name);
  if (token == nullptr || (token->kind == Kind::array && token->size >= low && token->size <= high)) return token;
  char expected[48];
  std::snprintf(expected, sizeof expected, "%" PRIu32 "..%" PRIu32 " items", low, high);
  reject(name, expected, token);
  return nullptr;
}

const Token* Fields::map(const char* name) noexcept {
  const Token* token = value(name);
  if (token == nullptr || token->kind == Kind::map) return token;
  reject(name, "a map", token);
  return nullptr;
}

bool Fields::number(const char* name, double low, double high, double& result) noexcept {
  const Token* token = value(name);
  return token != nullptr && number(name, *token, low, high, result);
}

bool Fields::number(const char* name, const Token& token, double low, double high, double& result) noexcept {
  double number = std::numeric_limits<double>::quiet_NaN();
  if (token.kind == Kind::real) number = token.real;
  if (token.kind == Kind::whole) number = static_cast<double>(token.whole);
  if (token.kind == Kind::negative) number = static_cast<double>(token.negative);
  if (number >= low && number <= high) {  // written so that NaN fails
    result = number;
    return true;
  }
  char expected[64];
  std::snprintf(expected, sizeof expected, "%g..%g", low, high);
  return reject(name, expected, &token);
}

bool Fields::wide_whole(const char* name, const Token& token, std::uint64_t low, std::uint64_t high,
                        std::uint64_t& result) noexcept {
  if (token.kind == Kind::whole && token.whole >= low && token.whole <= high) {
    result = token.whole;
    return true;
  }
  char expected[64];
  if (low == high) {
    std::snprintf(expected, sizeof expected, "%" PRIu64, low);
  } else {
    std::snprintf(expected, sizeof expected, "%" PRIu64 "..%" PRIu64, low, high);
  }
  return reject(name, expected, &token);
}

}  // namespace rubblemap
