#include "map_reader.hpp"

#include <msgpack.hpp>

#include "rubblemap/icd.hpp"
#include "utf8.hpp"

namespace rubblemap {
namespace {

// Deeper than the stack that msgpack's parser reserves when it is made, it would allocate.
static_assert(most_nesting <= MSGPACK_EMBED_STACK_SIZE);

// What the parser calls with each value, in order. A method that returns false ends the parsing.
class TokenWriter : public msgpack::null_visitor {
public:
  explicit TokenWriter(std::size_t most) : tokens_(new Token[most]), most_(most) {}

  const Token* tokens() const noexcept { return tokens_.get(); }

  void init() noexcept {
    count_ = 0;
    depth_ = 0;
    at_key_ = false;
  }

  bool visit_nil() noexcept { return add(Kind::nil, 0) != nullptr; }

  bool visit_boolean(bool value) noexcept {
    Token* token = add(Kind::boolean, 0);
    if (token != nullptr) token->boolean = value;
    return token != nullptr;
  }

  bool visit_positive_integer(std::uint64_t value) noexcept {
    Token* token = add(Kind::whole, 0);
    if (token != nullptr) token->whole = value;
    return token != nullptr;
  }

  // msgpack's signed formats may hold positive numbers too.
  bool visit_negative_integer(std::int64_t value) noexcept {
    if (value >= 0) return visit_positive_integer(static_cast<std::uint64_t>(value));
    Token* token = add(Kind::negative, 0);
    if (token != nullptr) token->negative = value;
    return token != nullptr;
  }

  bool visit_float32(float value) noexcept { return visit_float64(static_cast<double>(value)); }

  bool visit_float64(double value) noexcept {
    Token* token = add(Kind::real, 0);
    if (token != nullptr) token->real = value;
    return token != nullptr;
  }

  bool visit_str(const char* text, std::uint32_t size) noexcept {
    if (size == 0) text = "";
    if (!is_utf8({text, size})) return false;
    Token* token = add(Kind::text, size);
    if (token != nullptr) token->text = text;
    return token != nullptr;
  }

  bool visit_bin(const char*, std::uint32_t) noexcept { return false; }
  bool visit_ext(const char*, std::uint32_t) noexcept { return false; }

  bool start_array(std::uint32_t items) noexcept { return items <= most_array_items && open(Kind::array, items); }
  bool end_array() noexcept { return close(); }
  bool start_map(std::uint32_t pairs) noexcept { return open(Kind::map, pairs); }
  bool end_map() noexcept { return close(); }

  bool start_map_key() noexcept {
    at_key_ = true;
    return true;
  }

  bool end_map_key() noexcept {
    at_key_ = false;
    return true;
  }

private:
  Token* add(Kind kind, std::uint32_t size) noexcept {
    if (count_ == most_ || (at_key_ && kind != Kind::text)) return nullptr;
    Token& token = tokens_[count_++];
    token.kind = kind;
    token.size = size;
    token.whole = 0;
    return &token;
  }

  bool open(Kind kind, std::uint32_t size) noexcept {
    if (depth_ == most_nesting) return false;
    open_[depth_] = count_;
    if (add(kind, size) == nullptr) return false;
    ++depth_;
    return true;
  }

  bool close() noexcept {
    tokens_[open_[--depth_]].end = count_;
    return true;
  }

  std::unique_ptr<Token[]> tokens_;
  const std::size_t most_;
  std::size_t count_ = 0;
  std::size_t open_[most_nesting] = {};
  std::size_t depth_ = 0;
  bool at_key_ = false;
};

}  // namespace

struct MapReader::State {
  // A value takes at least one byte.
  explicit State(std::size_t most_bytes) : writer(most_bytes), parser(writer) {}

  TokenWriter writer;
  // The parser that msgpack::parse makes anew for every call; kept, it allocates its stack once.
  msgpack::detail::parse_helper<TokenWriter> parser;
};

MapReader::MapReader(std::size_t most_bytes) : state_(new State(most_bytes)) {}

MapReader::~MapReader() = default;

const Token* MapReader::tokens() const noexcept { return state_->writer.tokens(); }

bool MapReader::read(const std::uint8_t* data, std::size_t size) noexcept {
  if (size == 0) return false;
  try {
    state_->parser.init();
    std::size_t used = 0;
    const auto end = state_->parser.execute(reinterpret_cast<const char*>(data), size, used);
    return end == msgpack::PARSE_SUCCESS && used == size && root().kind == Kind::map;
  } catch (const msgpack::unpack_error&) {
    return false;  // on processors of 32 bits, an extension of 4 GB
  }
}

const Token* MapReader::find(const Token& map, std::string_view key) const noexcept {
  const Token* found = nullptr;
  const Token* at = &map + 1;
  for (std::uint32_t pair = 0; pair < map.size; ++pair) {
    const Token* value = at + 1;  // keys are texts, which nothing follows
    if (std::string_view(at->text, at->size) == key) found = value;
    at = behind(*value);
  }
  return found;
}

}  // namespace rubblemap
