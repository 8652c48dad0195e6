#include <cstdio>

#include "packing.hpp"
#include "rubblemap/commander.hpp"
#include "utf8.hpp"

namespace rubblemap {
namespace {

bool is_right(std::string_view text, std::size_t low, std::size_t high) noexcept {
  return text.size() >= low && text.size() <= high && is_utf8(text);
}

constexpr std::size_t longest_text = std::size_t{60} * 1024;

}  // namespace

std::size_t encode_command(std::uint64_t id, std::string_view name, const Argument* arguments, std::size_t count,
                           std::string_view inside, std::uint8_t* buffer, std::size_t capacity,
                           char (&error)[256]) noexcept {
  if (!is_right(name, 1, 64)) {
    std::snprintf(error, sizeof error, "command.name: expected 1..64 bytes of UTF-8, got %zu bytes", name.size());
    return 0;
  }
  if (!is_right(inside, 0, 64)) {
    std::snprintf(error, sizeof error, "command.inside: expected nothing or 1..64 bytes of UTF-8, got %zu bytes",
                  inside.size());
    return 0;
  }
  for (std::size_t i = 0; i < count; ++i) {
    const Value& value = arguments[i].value;
    const bool scalar = value.type != Value::Type::list && value.type != Value::Type::map;
    if (scalar && is_right(arguments[i].name, 1, 64) && is_right(value.text, 0, longest_text)) continue;
    std::snprintf(error, sizeof error,
                  "command.arguments: expected names of 1..64 bytes and scalars or UTF-8 of at most %zu bytes, got "
                  "another as number %zu",
                  longest_text, i);
    return 0;
  }
  FixedBuffer bytes{buffer, capacity};
  Packer out(bytes);
  out.map(5);
  out.text("schema");
  out.whole(schema_version);
  out.text("type");
  out.text("command");
  out.text("id");
  out.whole(id);
  out.text("name");
  out.text(name);
  out.text("arguments");
  if (!inside.empty()) {
    out.map(1);
    out.text(inside);
  }
  out.map(count);
  for (std::size_t i = 0; i < count; ++i) {
    out.text(arguments[i].name);
    out.value(arguments[i].value);
  }
  if (!bytes.full) return bytes.used;
  std::snprintf(error, sizeof error, "command: expected at most %zu bytes, got more", capacity);
  return 0;
}

}  // namespace rubblemap
