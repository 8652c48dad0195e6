// Products of a pretended service, right or damaged in one way.
#pragma once

#include <zlib.h>

#include <functional>
#include <msgpack.hpp>
#include <string>

#include "check.hpp"

// A header's field and how its value is written; tests replace, drop or add some.
using Packing = msgpack::packer<msgpack::sbuffer>;
struct Field {
  std::string name;
  std::function<void(Packing&)> write;
};

template <typename T>
Field field(const std::string& name, const T& value) {
  return {name, [value](Packing& out) { out.pack(value); }};
}

struct PlaneContent {
  std::string name;
  std::string dtype;
  std::vector<std::uint32_t> shape;
  Bytes bytes;
};

// A product of `topic`, height x width, whose pixels follow from `sequence`.
struct ProductMaker {
  std::string topic = "map.navigation";
  std::uint64_t sequence = 0;
  std::uint32_t height = 8;
  std::uint32_t width = 12;
  std::string status = "valid";

  std::vector<PlaneContent> planes() const {
    if (status == "invalid") return {};
    const auto plane = [this](const char* name, const char* dtype, std::uint32_t layers = 1) {
      const std::size_t item = std::string(dtype) == "u8" ? 1 : 2;
      std::vector<std::uint32_t> shape{height, width};
      if (layers > 1) shape.insert(shape.begin(), layers);
      Bytes bytes(item * layers * height * width);
      for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>((i + sequence) % 4);
      return PlaneContent{name, dtype, shape, bytes};
    };
    if (topic == "map.hazard") {
      return {plane("hazard_probability", "f16"), plane("predictive_entropy", "f16"), plane("enhanced_class_map", "u8"),
              plane("clearance", "f16")};
    }
    if (topic == "map.full") {
      return {plane("mean_probability", "f16", 3), plane("predictive_entropy", "f16"),
              plane("mutual_information", "f16"), plane("class_map", "u8"), plane("enhanced_class_map", "u8")};
    }
    return {plane("class_map", "u8"), plane("enhanced_class_map", "u8"), plane("predictive_entropy", "f16")};
  }

  std::vector<Field> fields(const std::vector<PlaneContent>& contents) const {
    using Map = std::map<std::string, std::string>;
    const auto classes = [](Packing& out) {
      const char* const roles[] = {"background", "safe", "hazard"};
      out.pack_array(3);
      for (unsigned i = 0; i < 3; ++i) {
        out.pack_map(3);
        out.pack("index").pack(i).pack("name").pack(std::string("class ") + roles[i]).pack("role").pack(roles[i]);
      }
    };
    const std::map<std::string, double> timing{
        {"queue", 0.5}, {"center", 1.0}, {"passes", 2.0}, {"fuse", 3.0}, {"publish", 4.0}};
    return {field("schema", 1),
            field("type", "map"),
            field("topic", topic),
            field("sequence", sequence),
            field("source", "navcam"),
            field("epoch", 7u),
            field("frame_id", sequence),
            field("capture_time_ns", 1ull),
            field("received_time_ns", 2ull),
            field("published_time_ns", 3ull),
            field("status", status),
            field("flags", std::vector<std::string>{}),
            field("bundle", Map{{"name", "tiny"}, {"version", "1"}, {"sha256", std::string(64, 'a')}}),
            field("mode", "Fused"),
            field("gamma", 3.0),
            field("passes_requested", 20),
            field("passes_used", 20),
            field("seed", 5ull),
            field("uncertainty_threshold", 0.9),
            field("map_to_sensor", std::vector<double>{1, 0, 0, 0, 1, 0}),
            {"classes", classes},
            field("timing_ms", timing),
            {"planes", [contents](Packing& out) { write_planes(out, contents); }}};
  }

  static void write_planes(Packing& out, const std::vector<PlaneContent>& contents) {
    out.pack_array(static_cast<std::uint32_t>(contents.size()));
    for (const PlaneContent& plane : contents) {
      const auto crc = crc32(0, plane.bytes.data(), static_cast<unsigned>(plane.bytes.size()));
      out.pack_map(6);
      out.pack("name").pack(plane.name).pack("dtype").pack(plane.dtype).pack("shape").pack(plane.shape);
      out.pack("units").pack("1").pack("crc32").pack(crc).pack("nbytes").pack(plane.bytes.size());
    }
  }

  static Bytes header(const std::vector<Field>& fields) {
    msgpack::sbuffer buffer;
    Packing out(buffer);
    out.pack_map(static_cast<std::uint32_t>(fields.size()));
    for (const Field& entry : fields) {
      out.pack(entry.name);
      entry.write(out);
    }
    return {buffer.data(), buffer.data() + buffer.size()};
  }

  Message message() const {
    const auto contents = planes();
    Message parts{Bytes(topic.begin(), topic.end()), header(fields(contents))};
    for (const PlaneContent& plane : contents) parts.push_back(plane.bytes);
    return parts;
  }

  // The message with one field of its header replaced, or added.
  Message with(const Field& changed) const {
    auto entries = fields(planes());
    bool found = false;
    for (Field& entry : entries) {
      if (entry.name != changed.name) continue;
      entry = changed;
      found = true;
    }
    if (!found) entries.push_back(changed);
    Message parts = message();
    parts[1] = header(entries);
    return parts;
  }

  Message without(const std::string& name) const {
    std::vector<Field> left;
    for (const Field& entry : fields(planes())) {
      if (entry.name != name) left.push_back(entry);
    }
    Message parts = message();
    parts[1] = header(left);
    return parts;
  }
};
