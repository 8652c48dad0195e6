#include "c_api_service.h"

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
