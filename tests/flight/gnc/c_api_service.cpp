#include "c_api_service.h"

#include <cmath>
#include <cstring>
#include <memory>

#include "fake_service.hpp"
#include "make_product.hpp"

namespace {

struct Service {
  std::string products_endpoint = fresh_endpoint();
  std::string frames_endpoint = fresh_endpoint();
  std::string commands_endpoint = fresh_endpoint();
  FakePublisher products{products_endpoint};
  FakeSocket frames{ZMQ_PULL, frames_endpoint};
  FakeSocket commands{ZMQ_ROUTER, commands_endpoint};
};

std::unique_ptr<Service> service;

// A body: a disc of safe ground in the sky, all of it certain. One pixel of the map is two of the sensor.
constexpr int height = 20, width = 24, centre_u = 8, centre_v = 10, radius = 5;

bool in_body(int u, int v) {
  const int du = u - centre_u, dv = v - centre_v;
  return du * du + dv * dv <= radius * radius;
}

// The pixels right of the middle, where day meets night.
bool in_terminator(int u, int v) { return in_body(u, v) && u > centre_u && u <= centre_u + 3; }

// From a pixel of the body to the nearest one outside of it.
double room(int u, int v) {
  if (!in_body(u, v)) return 0.0;
  double least = width;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      if (!in_body(x, y)) least = std::min(least, std::hypot(x - u, y - v));
    }
  }
  return least;
}

template <typename Value>
PlaneContent plane_u8(const char* name, Value value) {
  PlaneContent plane{name, "u8", {height, width}, {}};
  for (int v = 0; v < height; ++v) {
    for (int u = 0; u < width; ++u) plane.bytes.push_back(static_cast<std::uint8_t>(value(u, v)));
  }
  return plane;
}

// Values of 0, or 2^-14 and more.
template <typename Value>
PlaneContent plane_f16(const char* name, Value value) {
  PlaneContent plane{name, "f16", {height, width}, {}};
  for (int v = 0; v < height; ++v) {
    for (int u = 0; u < width; ++u) {
      int exponent = 0;
      const double fraction = std::frexp(value(u, v), &exponent);
      const int bits = fraction > 0.0 ? ((exponent + 14) << 10) + static_cast<int>((2.0 * fraction - 1.0) * 1024.0) : 0;
      plane.bytes.push_back(static_cast<std::uint8_t>(bits & 0xFF));
      plane.bytes.push_back(static_cast<std::uint8_t>(bits >> 8));
    }
  }
  return plane;
}

std::vector<PlaneContent> planes_of_body(bool hazard, bool terminator) {
  const auto class_of = [terminator](int u, int v) { return terminator && in_terminator(u, v) ? 3 : in_body(u, v); };
  const auto nothing = [](int, int) { return 0.0; };
  if (!hazard) {
    return {plane_u8("class_map", class_of), plane_u8("enhanced_class_map", class_of),
            plane_f16("predictive_entropy", nothing)};
  }
  return {plane_f16("hazard_probability", [](int u, int v) { return in_body(u, v) ? 0.25 : 1.0; }),
          plane_f16("predictive_entropy", nothing), plane_u8("enhanced_class_map", class_of),
          plane_f16("clearance", room)};
}

void write_classes(Packing& out) {
  const char* const roles[] = {"background", "safe", "hazard", "terminator"};
  out.pack_array(4);
  for (unsigned i = 0; i < 4; ++i) {
    out.pack_map(3).pack("index").pack(i).pack("name").pack(roles[i]).pack("role").pack(roles[i]);
  }
}

}  // namespace

void service_start() { service = std::make_unique<Service>(); }

const char* service_endpoint(const char* name) {
  if (std::strcmp(name, "products") == 0) return service->products_endpoint.c_str();
  return std::strcmp(name, "frames") == 0 ? service->frames_endpoint.c_str() : service->commands_endpoint.c_str();
}

void service_wait_for_subscriptions(int count) { service->products.wait_for_subscriptions(count); }

void service_publish(const char* topic, uint64_t sequence, int damaged) {
  ProductMaker maker;
  maker.topic = topic;
  maker.sequence = sequence;
  Message message = maker.message();
  if (damaged != 0) message[2][0] ^= 1;
  service->products.send(message);
}

void service_publish_body(const char* topic, const char* flag, int terminator) {
  ProductMaker maker;
  maker.topic = topic;
  maker.status = std::strcmp(flag, "body_cut") == 0 || flag[0] == '\0' ? "valid" : "degraded";
  const auto planes = planes_of_body(maker.topic == "map.hazard", terminator != 0);
  auto fields = maker.fields(planes);
  for (Field& entry : fields) {
    if (entry.name == "classes") entry.write = write_classes;
    if (entry.name == "map_to_sensor") entry = field(entry.name, std::vector<double>{2, 0, 0, 0, 2, 0});
    if (entry.name == "flags" && flag[0] != '\0') entry = field(entry.name, std::vector<std::string>{flag});
  }
  Message message{Bytes(maker.topic.begin(), maker.topic.end()), ProductMaker::header(fields)};
  for (const PlaneContent& plane : planes) message.push_back(plane.bytes);
  service->products.send(message);
}

void service_answer() {
  const Message message = service->commands.receive();
  REQUIRE(message.size() == 3);
  const auto handle = msgpack::unpack(reinterpret_cast<const char*>(message[2].data()), message[2].size());
  const auto command = handle.get().as<std::map<std::string, msgpack::object>>();
  msgpack::sbuffer buffer;
  msgpack::packer<msgpack::sbuffer> out(buffer);
  out.pack_map(7);
  out.pack("schema").pack(1).pack("type").pack("reply").pack("id").pack(command.at("id"));
  out.pack("status").pack("completed").pack("code").pack("ok").pack("message").pack("");
  out.pack("result").pack(command.at("arguments"));
  service->commands.send({message[0], {}, Bytes(buffer.data(), buffer.data() + buffer.size())});
}

uint64_t service_take_frame() {
  const Message message = service->frames.receive();
  REQUIRE(message.size() == 2);
  return message[1].size();
}

void service_stop() { service.reset(); }
