// One msgpack map read into a list of tokens that was set aside before: no allocation, no recursion.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

namespace rubblemap {

enum class Kind : std::uint8_t { nil, boolean, whole, negative, real, text, array, map };

// A value. size: bytes of a text, items of an array, pairs of a map; what is inside an array or a map follows it.
struct Token {
  Kind kind;
  std::uint32_t size;
  union {
    bool boolean;
    std::uint64_t whole;
    std::int64_t negative;
    double real;
    const char* text;   // in the bytes that were read
    std::uint64_t end;  // of an array or a map: the index of the first token behind it
  };
};

class MapReader {
public:
  // Sets aside what any map of at most `most_bytes` can need. Throws std::bad_alloc.
  explicit MapReader(std::size_t most_bytes);
  ~MapReader();
  MapReader(const MapReader&) = delete;
  MapReader& operator=(const MapReader&) = delete;

  // Reads exactly one map with text keys, nested and with arrays as the ICD allows, texts of valid UTF-8, no binary
  // data, and nothing after it. False for anything else. The tokens are good until the next call, texts while `data`
  // is.
  [[nodiscard]] bool read(const std::uint8_t* data, std::size_t size) noexcept;

  // The map that was read last.
  const Token& root() const noexcept { return tokens()[0]; }

  // The token behind a value and all that is inside it.
  const Token* behind(const Token& token) const noexcept {
    return token.kind == Kind::array || token.kind == Kind::map ? tokens() + token.end : &token + 1;
  }

  // The value of a key, or nullptr; of repeated keys the last, as Python's dict keeps them.
  [[nodiscard]] const Token* find(const Token& map, std::string_view key) const noexcept;

private:
  struct State;
  const Token* tokens() const noexcept;

  std::unique_ptr<State> state_;
};

}  // namespace rubblemap
