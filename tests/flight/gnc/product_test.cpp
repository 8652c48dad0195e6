// Each way in which a product can break the contract is refused for its own reason, with a line that names the field.
#include <cmath>
#include <cstring>
#include <limits>

#include "make_product.hpp"

namespace {

using rubblemap::Reason;

class Judge {
public:
  void takes(const Message& message) {
    const auto parts = views(message);
    if (!decoder_.decode(parts.data(), parts.size(), product_, fault_)) std::fprintf(stderr, "%s\n", fault_.message);
    REQUIRE(decoder_.decode(parts.data(), parts.size(), product_, fault_));
  }

  void refuses(const Message& message, Reason reason, const char* text) {
    const auto parts = views(message);
    const bool taken = decoder_.decode(parts.data(), parts.size(), product_, fault_);
    if (taken) std::fprintf(stderr, "taken, but expected: %s\n", text);
    REQUIRE(!taken);
    if (fault_.reason != reason || std::strstr(fault_.message, text) == nullptr) {
      std::fprintf(stderr, "%s: %s\nexpected %s: %s\n", name_of(fault_.reason), fault_.message, name_of(reason), text);
    }
    REQUIRE(fault_.reason == reason && std::strstr(fault_.message, text) != nullptr);
  }

  const rubblemap::Product& product() const { return product_; }

private:
  rubblemap::ProductDecoder decoder_;
  rubblemap::Product product_;
  rubblemap::Fault fault_;
};

void check_taken(Judge& judge) {
  for (const char* topic : {"map.navigation", "map.hazard", "map.full"}) {
    ProductMaker maker;
    maker.topic = topic;
    judge.takes(maker.message());
    maker.status = "invalid";
    judge.takes(maker.message());
    REQUIRE(judge.product().planes.empty());
  }
  const ProductMaker maker;
  // Unknown keys are ignored, whatever they hold, but no deeper than 32; of repeated keys the last counts.
  judge.takes(maker.with(field("later", std::map<std::string, std::vector<int>>{{"a", {1, -2}}, {"b", {}}})));
  const auto nested = [](unsigned levels) {
    return Field{"later", [levels](Packing& out) {
                   for (unsigned i = 0; i < levels; ++i) out.pack_array(1);
                   out.pack_nil();
                 }};
  };
  judge.takes(maker.with(nested(31)));
  judge.refuses(maker.with(nested(32)), Reason::malformed_header, "expected a msgpack map");
  const auto of_items = [](std::uint32_t count) { return field("later", std::vector<int>(count, 7)); };
  judge.takes(maker.with(of_items(1024)));
  judge.refuses(maker.with(of_items(1025)), Reason::malformed_header, "expected a msgpack map");
  const auto bytes = [&maker](const char* value, std::size_t size) {
    return maker.with({"later", [=](Packing& out) { out.pack_bin_body(value, static_cast<std::uint32_t>(size)); }});
  };
  // Binary data and extensions (a timestamp is one), even of no bytes.
  judge.refuses(bytes("\xC4\x00", 2), Reason::malformed_header, "expected a msgpack map");
  judge.refuses(bytes("\xC7\x00\x05", 3), Reason::malformed_header, "expected a msgpack map");
  judge.refuses(bytes("\xD6\xFF\x00\x00\x00\x00", 6), Reason::malformed_header, "expected a msgpack map");
  auto entries = maker.fields(maker.planes());
  entries.insert(entries.begin(), field("gamma", "no number"));
  Message repeated = maker.message();
  repeated[1] = ProductMaker::header(entries);
  judge.takes(repeated);
  judge.takes(maker.with(field("gamma", 3)));
  judge.takes(maker.with(field("source", "h\xC3\xA9lio")));
}

void check_fields(Judge& judge) {
  const ProductMaker maker;
  for (const Field& entry : maker.fields({})) {
    const bool schema = entry.name == "schema";
    judge.refuses(maker.without(entry.name), schema ? Reason::unknown_schema : Reason::invalid_field,
                  ("map." + entry.name + ": expected a value, got nothing").c_str());
    judge.refuses(maker.with({entry.name, [](Packing& out) { out.pack_nil(); }}),
                  schema ? Reason::unknown_schema : Reason::invalid_field, ("map." + entry.name).c_str());
  }
  const auto refuses = [&judge, &maker](const auto& changed, const char* text) {
    judge.refuses(maker.with(changed), Reason::invalid_field, text);
  };
  judge.refuses(maker.with(field("schema", 2)), Reason::unknown_schema, "map.schema: expected 1, got 2");
  judge.refuses(maker.with(field("schema", true)), Reason::unknown_schema, "got true");
  refuses(field("type", "frame"), "map.type: expected 'map', got 'frame'");
  refuses(field("topic", "map.other"), "map.topic: expected map.navigation | map.hazard | map.full, got 'map.other'");
  refuses(field("sequence", -1), "map.sequence: expected 0..18446744073709551615, got -1");
  refuses(field("sequence", 1.5), "map.sequence");
  refuses(field("source", ""), "map.source: expected 1..32 bytes");
  refuses(field("source", std::string(33, 's')), "map.source: expected text of at most 32 bytes");
  refuses(field("epoch", 1ull << 32), "map.epoch: expected 0..4294967295, got 4294967296");
  refuses(field("status", "fine"), "map.status: expected valid | degraded | invalid, got 'fine'");
  refuses(field("flags", std::vector<std::string>(33, "dark")), "map.flags: expected 0..32 items, got 33 items");
  refuses(field("flags", std::vector<std::string>{std::string(65, 'f')}), "map.flags: expected text of at most 64");
  refuses(field("gamma", std::numeric_limits<double>::quiet_NaN()), "map.gamma: expected 1..10, got nan");
  refuses(field("gamma", true), "map.gamma");
  refuses(field("passes_requested", 0), "map.passes_requested: expected 1..100, got 0");
  refuses(field("uncertainty_threshold", 1.5), "map.uncertainty_threshold: expected 0..1, got 1.5");
  refuses(field("uncertain_rule", "none"), "map.uncertain_rule: expected relative | risk, got 'none'");
  refuses(field("risk", -0.5), "map.risk: expected 0..1, got -0.5");
  refuses(field("risk_threshold", 11), "map.risk_threshold: expected 0..10, got 11");
  refuses(field("map_to_sensor", std::vector<double>{1, 2, 3, 4, 5}), "map.map_to_sensor: expected 6..6 items, got 5");
  refuses(field("map_to_sensor", std::vector<double>{1, 2, 3, 4, 5, 2e9}), "map.map_to_sensor");
  refuses(field("classes", std::vector<int>{1, 2}), "map.classes: expected maps");
  refuses(field("classes", std::vector<int>{}), "map.classes: expected 2..64 items");
  refuses(field("bundle", std::map<std::string, std::string>{{"name", "a"}, {"version", "1"}, {"sha256", "b"}}),
          "map.bundle.sha256: expected 64 hexadecimal digits");
  refuses(field("timing_ms", std::map<std::string, double>{{"queue", 1.0}}), "map.timing_ms.center");
}

void check_planes(Judge& judge) {
  ProductMaker maker;
  const auto with_planes = [&maker](auto change) {
    auto contents = maker.planes();
    change(contents);
    Message message{Bytes(maker.topic.begin(), maker.topic.end()), ProductMaker::header(maker.fields(contents))};
    for (const PlaneContent& plane : contents) message.push_back(plane.bytes);
    return message;
  };
  using Planes = std::vector<PlaneContent>&;
  const auto refuses = [&](auto change, Reason reason, const char* text) {
    judge.refuses(with_planes(change), reason, text);
  };
  refuses([](Planes p) { p[0].name = "other"; }, Reason::wrong_planes, "map.planes: expected class_map u8");
  refuses([](Planes p) { std::swap(p[0], p[1]); }, Reason::wrong_planes, "map.planes");
  refuses([](Planes p) { p.pop_back(); }, Reason::wrong_planes, "map.planes");
  refuses([](Planes p) { p[2].dtype = "u8", p[2].bytes.resize(96); }, Reason::wrong_planes, "map.planes");
  refuses([](Planes p) { p[0].shape = {1, 8, 12}; }, Reason::wrong_planes, "map.planes");
  refuses([](Planes p) { p[0].shape = {12, 8}; }, Reason::wrong_planes, "expected one height and width");
  refuses(
      [](Planes p) {
        p[0].shape = {0, 12};
      },
      Reason::invalid_field, "map.planes[0].shape: expected 1..4096, got 0");
  refuses([](Planes p) { p[1].dtype = "f32"; }, Reason::invalid_field, "map.planes[1].dtype: expected u8 | f16");
  refuses([](Planes p) { p[1].bytes.push_back(0); }, Reason::size_mismatch,
          "plane enhanced_class_map: expected 96 bytes, got 97");

  Message message = maker.message();
  message[2][3] ^= 1;
  judge.refuses(message, Reason::crc_mismatch, "plane class_map: crc32");
  message = maker.message();
  message[3].pop_back();
  judge.refuses(message, Reason::size_mismatch, "plane enhanced_class_map: expected 96 bytes, got 95 (96 stated)");
  message = maker.message();
  message.pop_back();
  judge.refuses(message, Reason::wrong_planes, "map.planes: expected 2 entries as parts came, got 3");
  message.resize(11);
  judge.refuses(message, Reason::wrong_parts, "product: expected 2..10 message parts, got 11");
  message.resize(1);
  judge.refuses(message, Reason::wrong_parts, "got 1");
  message = maker.message();
  message[0].push_back('x');
  judge.refuses(message, Reason::topic_mismatch, "map.topic");
  message = maker.with(field("status", "invalid"));
  judge.refuses(message, Reason::wrong_planes, "expected none in an invalid product, got 3");
}

void check_headers(Judge& judge) {
  const ProductMaker maker;
  const auto refuses = [&judge, &maker](Bytes header) {
    Message message = maker.message();
    message[1] = std::move(header);
    judge.refuses(message, Reason::malformed_header, "product header: expected ");
  };
  refuses({});
  refuses({0xC0});                            // nil
  refuses({0x90});                            // an array
  refuses({0x81, 0x01, 0x01});                // a key that is no text
  refuses({0x81, 0xA1, 'a', 0xC4, 0x01, 0});  // binary data
  refuses({0x81, 0xA1, 'a', 0xD4, 0x01, 0});  // an extension
  refuses({0x81, 0xA1, 0xFF, 0x01});          // no UTF-8
  refuses({0x81, 0xA1, 'a', 0xC1});           // the byte that msgpack never uses
  refuses({0xDF, 0xFF, 0xFF, 0xFF, 0xFF});    // more pairs than bytes
  Bytes longer = maker.message()[1];
  longer.push_back(0xC0);
  refuses(longer);
  refuses(Bytes(64 * 1024 + 1));
  // Of surrogates, overlong and too large characters.
  for (const char* text :
       {"\xED\xA0\x80", "\xC0\xAF", "\xE0\x80\xAF", "\xF4\x90\x80\x80", "\xF0\x80\x80\x80", "\xC3"}) {
    judge.refuses(maker.with(field("later", text)), Reason::malformed_header, "product header");
  }
}

// Every binary16 number against its definition.
void check_halves() {
  for (unsigned bits = 0; bits <= 0xFFFFu; ++bits) {
    const std::uint8_t bytes[] = {static_cast<std::uint8_t>(bits & 0xFFu), static_cast<std::uint8_t>(bits >> 8u)};
    const float value = rubblemap::half_to_float(bytes);
    const int exponent = static_cast<int>((bits >> 10u) & 0x1Fu);
    const auto fraction = static_cast<double>(bits & 0x3FFu);
    REQUIRE(std::signbit(value) == ((bits & 0x8000u) != 0) || std::isnan(value));
    if (exponent == 31) {
      REQUIRE(fraction == 0.0 ? std::isinf(value) : std::isnan(value));
    } else {
      const double magnitude = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024.0 + fraction, exponent - 25);
      REQUIRE(std::fabs(static_cast<double>(value)) == magnitude);
    }
  }
}

}  // namespace

int main() {
  Judge judge;
  check_taken(judge);
  check_fields(judge);
  check_planes(judge);
  check_headers(judge);
  check_halves();
  std::puts("products: the right ones taken, each fault refused for its reason");
  return 0;
}
