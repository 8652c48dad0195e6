#include "rubblemap/product.hpp"

#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "fields.hpp"
#include "map_reader.hpp"

namespace rubblemap {
namespace {

bool is_sha256(std::string_view text) noexcept {
  if (text.size() != 64) return false;
  for (const char digit : text) {
    if (!((digit >= '0' && digit <= '9') || (digit >= 'a' && digit <= 'f'))) return false;
  }
  return true;
}

// In the order of UncertainRule.
constexpr std::array<std::string_view, 2> rule_names{"relative", "risk"};

// What a plane's entry says of its part, and is compared with it.
struct Stated {
  std::uint64_t bytes = 0;
  std::uint32_t crc32 = 0;
};

// One message being decoded.
class Decoding {
public:
  Decoding(const MapReader& reader, const Part* parts, std::size_t count, Product& product, Fault& fault) noexcept
      : reader_(reader),
        parts_(parts),
        count_(count),
        product_(product),
        fault_(fault),
        header_(reader, reader.root(), {"map"}, fault) {}

  bool run() noexcept {
    return schema() && identity() && flags() && bundle() && parameters() && affine() && classes() && timing() &&
           plane_entries() && topic_agrees() && planes_are_the_topics() && planes_hold();
  }

private:
  bool schema() noexcept {
    const Token* version = header_.value("schema");
    if (version == nullptr) {
      fault_.reason = Reason::unknown_schema;
      return false;
    }
    // Of all numbers that JSON Schema takes for 1.
    const bool known =
        (version->kind == Kind::whole && version->whole == 1) || (version->kind == Kind::real && version->real == 1.0);
    if (!known) return header_.reject("schema", "1", version, Reason::unknown_schema);
    const Token* type = header_.value("type");
    if (type == nullptr) return false;
    if (type->kind == Kind::text && std::string_view(type->text, type->size) == "map") return true;
    return header_.reject("type", "'map'", type);
  }

  bool identity() noexcept {
    Product& p = product_;
    return header_.choice("topic", topic_names, p.topic) && header_.whole("sequence", p.sequence) &&
           header_.text("source", p.source) &&
           (!p.source.empty() || header_.reject("source", "1..32 bytes", header_.value("source"))) &&
           header_.whole("epoch", p.epoch) && header_.whole("frame_id", p.frame_id) &&
           header_.whole("capture_time_ns", p.capture_time_ns) &&
           header_.whole("received_time_ns", p.received_time_ns) &&
           header_.whole("published_time_ns", p.published_time_ns) && header_.choice("status", status_names, p.status);
  }

  bool flags() noexcept {
    const Token* list = header_.array("flags", 0, most_flags);
    if (list == nullptr) return false;
    product_.flags.clear();
    const Token* item = list + 1;
    for (std::uint32_t i = 0; i < list->size; ++i, item = reader_.behind(*item)) {
      if (!header_.text("flags", *item, *product_.flags.add())) return false;
    }
    return true;
  }

  bool bundle() noexcept {
    const Token* map = header_.map("bundle");
    if (map == nullptr) return false;
    Fields fields(reader_, *map, {"map.bundle"}, fault_);
    Bundle& b = product_.bundle;
    return fields.text("name", b.name) && fields.text("version", b.version) && fields.text("sha256", b.sha256) &&
           (is_sha256(b.sha256) || fields.reject("sha256", "64 hexadecimal digits", fields.value("sha256")));
  }

  bool parameters() noexcept {
    Product& p = product_;
    return header_.text("mode", p.mode) && header_.number("gamma", 1, 10, p.gamma) &&
           header_.whole("passes_requested", 1, 100, p.passes_requested) &&
           header_.whole("passes_used", 0, 100, p.passes_used) && header_.whole("seed", p.seed) &&
           header_.number("uncertainty_threshold", 0, 1, p.uncertainty_threshold) && rule();
  }

  // Of services that know one rule only, these fields are not there.
  bool rule() noexcept {
    Product& p = product_;
    p.uncertain_rule = UncertainRule::relative;
    p.risk = p.risk_threshold = 0.0;
    return (!header_.has("uncertain_rule") || header_.choice("uncertain_rule", rule_names, p.uncertain_rule)) &&
           (!header_.has("risk") || header_.number("risk", 0, 1, p.risk)) &&
           (!header_.has("risk_threshold") || header_.number("risk_threshold", 0, 10, p.risk_threshold));
  }

  bool affine() noexcept {
    const Token* list = header_.array("map_to_sensor", 6, 6);
    if (list == nullptr) return false;
    const Token* item = list + 1;
    for (double& value : product_.map_to_sensor) {
      if (!header_.number("map_to_sensor", *item, -1e9, 1e9, value)) return false;
      item = reader_.behind(*item);
    }
    return true;
  }

  bool classes() noexcept {
    const Token* list = header_.array("classes", 2, most_classes);
    if (list == nullptr) return false;
    product_.classes.clear();
    const Token* item = list + 1;
    for (std::uint32_t i = 0; i < list->size; ++i, item = reader_.behind(*item)) {
      if (item->kind != Kind::map) return header_.reject("classes", "maps {index, name, role}", item);
      Fields fields(reader_, *item, {"map.classes", static_cast<int>(i)}, fault_);
      ClassDefinition& entry = *product_.classes.add();
      // Class i is what planes mean by i; the index after the last one is "uncertain", and must not be a class.
      const bool right = fields.whole("index", i, i, entry.index) && fields.text("name", entry.name) &&
                         fields.choice("role", role_names, entry.role);
      if (!right) return false;
    }
    return true;
  }

  bool timing() noexcept {
    const Token* map = header_.map("timing_ms");
    if (map == nullptr) return false;
    Fields fields(reader_, *map, {"map.timing_ms"}, fault_);
    Timing& t = product_.timing_ms;
    return fields.number("queue", 0, 1e9, t.queue) && fields.number("center", 0, 1e9, t.center) &&
           fields.number("passes", 0, 1e9, t.passes) && fields.number("fuse", 0, 1e9, t.fuse) &&
           fields.number("publish", 0, 1e9, t.publish);
  }

  bool plane_entries() noexcept {
    const Token* list = header_.array("planes", 0, most_planes);
    if (list == nullptr) return false;
    product_.planes.clear();
    const Token* item = list + 1;
    for (std::uint32_t i = 0; i < list->size; ++i, item = reader_.behind(*item)) {
      if (item->kind != Kind::map) return header_.reject("planes", "maps", item);
      Fields fields(reader_, *item, {"map.planes", static_cast<int>(i)}, fault_);
      if (!plane_entry(fields, *product_.planes.add(), stated_[i])) return false;
    }
    return true;
  }

  bool plane_entry(Fields& fields, Plane& plane, Stated& stated) noexcept {
    if (!fields.text("name", plane.name) || !fields.choice("dtype", dtype_names, plane.dtype)) return false;
    const Token* shape = fields.array("shape", 2, 3);
    if (shape == nullptr) return false;
    plane.shape.clear();
    const Token* side = shape + 1;
    for (std::uint32_t i = 0; i < shape->size; ++i, side = reader_.behind(*side)) {
      if (!fields.whole("shape", *side, 1, largest_side, *plane.shape.add())) return false;
    }
    return fields.text("units", plane.units) && fields.whole("crc32", 0, 0xFFFFFFFFu, stated.crc32) &&
           fields.whole("nbytes", 0, 0xFFFFFFFFu, stated.bytes);
  }

  bool topic_agrees() noexcept {
    const std::string_view first(reinterpret_cast<const char*>(parts_[0].data), parts_[0].size);
    if (first == name_of(product_.topic)) return true;
    return reject(fault_, Reason::topic_mismatch, "map.topic: expected that of the first part (%zu bytes), got %s",
                  first.size(), name_of(product_.topic).data());
  }

  bool planes_are_the_topics() noexcept {
    const auto& planes = product_.planes;
    if (planes.size() != count_ - 2) {
      return reject(fault_, Reason::wrong_planes, "map.planes: expected %zu entries as parts came, got %zu", count_ - 2,
                    planes.size());
    }
    if (product_.status == Status::invalid) {
      if (planes.empty()) return true;
      return reject(fault_, Reason::wrong_planes, "map.planes: expected none in an invalid product, got %zu",
                    planes.size());
    }
    const TopicPlanes& wanted = planes_of(product_.topic);
    const auto is_right = [](const Plane& plane, const PlaneDefinition& definition) {
      return plane.name == definition.name && plane.dtype == definition.dtype &&
             plane.shape.size() == definition.dimensions;
    };
    if (!std::equal(planes.begin(), planes.end(), wanted.begin(), wanted.end(), is_right)) return reject_planes(wanted);
    return planes_have_one_size() && layers_are_the_classes();
  }

  // Always false.
  bool reject_planes(const TopicPlanes& wanted) noexcept {
    Text<160> names;
    for (const PlaneDefinition& plane : wanted) {
      names.append(names.empty() ? "" : ", ");
      names.append(plane.name);
      names.append(" ");
      names.append(name_of(plane.dtype));
    }
    return reject(fault_, Reason::wrong_planes, "map.planes: expected %s for %s, got %zu others", names.c_str(),
                  name_of(product_.topic).data(), product_.planes.size());
  }

  bool layers_are_the_classes() noexcept {
    for (const Plane& plane : product_.planes) {
      if (plane.shape.size() < 3 || plane.shape[0] == product_.classes.size()) continue;
      return reject(fault_, Reason::wrong_planes, "plane %s: expected %zu layers as classes, got %u",
                    plane.name.c_str(), product_.classes.size(), plane.shape[0]);
    }
    return true;
  }

  bool planes_have_one_size() noexcept {
    const auto sides = [](const Plane& plane, std::size_t back) { return plane.shape[plane.shape.size() - back]; };
    const Plane& first = product_.planes[0];
    for (const Plane& plane : product_.planes) {
      if (sides(plane, 2) == sides(first, 2) && sides(plane, 1) == sides(first, 1)) continue;
      return reject(fault_, Reason::wrong_planes,
                    "map.planes: expected one height and width, got %u x %u of %s and %u x %u of %s", sides(first, 2),
                    sides(first, 1), first.name.c_str(), sides(plane, 2), sides(plane, 1), plane.name.c_str());
    }
    return true;
  }

  bool planes_hold() noexcept {
    for (std::size_t i = 0; i < product_.planes.size(); ++i) {
      if (!plane_holds(product_.planes[i], parts_[i + 2], stated_[i])) return false;
    }
    return true;
  }

  bool plane_holds(Plane& plane, const Part& part, const Stated& stated) noexcept {
    std::uint64_t expected = plane.dtype == Dtype::u8 ? 1 : 2;
    for (const std::uint32_t side : plane.shape) expected *= side;  // at most 2 * 4096^3, far below 2^64
    if (part.size != expected || stated.bytes != expected) {
      return reject(fault_, Reason::size_mismatch, "plane %s: expected %llu bytes, got %zu (%llu stated)",
                    plane.name.c_str(), static_cast<unsigned long long>(expected), part.size,
                    static_cast<unsigned long long>(stated.bytes));
    }
    const auto crc = static_cast<std::uint32_t>(crc32_z(0, part.data, part.size));
    if (crc != stated.crc32) {
      return reject(fault_, Reason::crc_mismatch, "plane %s: crc32: expected 0x%08x, got 0x%08x", plane.name.c_str(),
                    stated.crc32, crc);
    }
    plane.bytes = part;
    return true;
  }

  const MapReader& reader_;
  const Part* parts_;
  const std::size_t count_;
  Product& product_;
  Fault& fault_;
  Fields header_;
  Stated stated_[most_planes];
};

}  // namespace

const char* name_of(Reason reason) noexcept {
  constexpr const char* names[reason_count] = {"wrong_parts",    "oversized_part", "malformed_header",
                                               "unknown_schema", "invalid_field",  "topic_mismatch",
                                               "wrong_planes",   "size_mismatch",  "crc_mismatch"};
  return names[static_cast<std::size_t>(reason)];
}

const Plane* Product::plane(std::string_view name) const noexcept {
  for (const Plane& candidate : planes) {
    if (candidate.name == name) return &candidate;
  }
  return nullptr;
}

bool Product::has_flag(std::string_view name) const noexcept {
  for (const auto& flag : flags) {
    if (flag == name) return true;
  }
  return false;
}

ProductDecoder::ProductDecoder() : reader_(new MapReader(most_header_bytes)) {}

ProductDecoder::~ProductDecoder() = default;

bool ProductDecoder::decode(const Part* parts, std::size_t count, Product& product, Fault& fault) noexcept {
  if (count < 2 || count > most_parts) {
    return reject(fault, Reason::wrong_parts, "product: expected 2..%zu message parts, got %zu", most_parts, count);
  }
  const Part& header = parts[1];
  if (header.size > most_header_bytes) {
    return reject(fault, Reason::malformed_header, "product header: expected at most %zu bytes, got %zu",
                  most_header_bytes, header.size);
  }
  if (!reader_->read(header.data, header.size)) {
    return reject(fault, Reason::malformed_header, "product header: expected a msgpack map, got other %zu bytes",
                  header.size);
  }
  return Decoding(*reader_, parts, count, product, fault).run();
}

Product decode_product(const std::vector<Part>& parts) {
  ProductDecoder decoder;
  Product product;
  Fault fault;
  if (!decoder.decode(parts.data(), parts.size(), product, fault)) throw ProductError(fault);
  return product;
}

}  // namespace rubblemap
