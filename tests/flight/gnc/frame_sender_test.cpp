// Frames reach a pretended service whole; a full queue and a missing service are reported at once, and none is sent
// twice.
#include "rubblemap/frame_sender.hpp"

#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iterator>
#include <msgpack.hpp>

#include "epochs.hpp"
#include "fake_service.hpp"
#include "forked_service.hpp"
#include "silent_link.hpp"

namespace {

using rubblemap::Frame;
using rubblemap::FrameSender;
using rubblemap::FrameSenderOptions;
using rubblemap::Sent;

std::uint64_t number(const Bytes& header, const std::string& name) {
  const auto handle = msgpack::unpack(reinterpret_cast<const char*>(header.data()), header.size());
  return handle.get().as<std::map<std::string, msgpack::object>>().at(name).as<std::uint64_t>();
}

// A frame whose rows lie `gap` bytes apart, and what of it is sent.
struct Picture {
  Bytes memory;
  Bytes sent;
  Frame frame;

  Picture(std::uint32_t height, std::uint32_t width, std::size_t gap, unsigned seed) {
    const std::size_t row = width + gap;
    memory.resize(height * row);
    for (std::size_t i = 0; i < memory.size(); ++i) memory[i] = static_cast<std::uint8_t>(i * 7 + seed);
    for (std::uint32_t v = 0; v < height; ++v) {
      const auto first = memory.begin() + static_cast<std::ptrdiff_t>(v * row);
      sent.insert(sent.end(), first, first + width);
    }
    frame.pixels = memory.data();
    frame.height = height;
    frame.width = width;
    frame.row_bytes = gap == 0 ? 0 : row;
  }
};

void check_frame(const Message& message, const Picture& picture, std::uint64_t frame_id) {
  REQUIRE(message.size() == 2 && message[1] == picture.sent);
  REQUIRE(number(message[0], "frame_id") == frame_id && number(message[0], "epoch") == 3);
  REQUIRE(number(message[0], "height") == picture.frame.height && number(message[0], "width") == picture.frame.width);
  const auto crc = crc32(0, picture.sent.data(), static_cast<unsigned>(picture.sent.size()));
  REQUIRE(number(message[0], "crc32") == crc);
}

FrameSenderOptions options_for(const std::string& endpoint) {
  FrameSenderOptions options;
  options.endpoint = endpoint;
  options.source = "navcam";
  options.epoch = 3;
  options.max_pixel_bytes = 100'000;
  options.linger_ms = 0;
  return options;
}

Sent send_when_taken(FrameSender& sender, const Frame& frame, std::uint64_t& frame_id) {
  for (int i = 0; i < 1000; ++i) {
    const Sent sent = sender.send(frame, &frame_id);
    if (sent != Sent::not_taken) return sent;
    sleep_ms(5);
  }
  return Sent::not_taken;
}

void check_frames() {
  const std::string endpoint = fresh_endpoint();
  FrameSender sender(options_for(endpoint));
  const Picture first(40, 60, 0, 1);
  const auto before = std::chrono::steady_clock::now();
  std::uint64_t frame_id = 99;
  REQUIRE(sender.send(first.frame, &frame_id) == Sent::not_taken && frame_id == 99);
  REQUIRE(std::chrono::steady_clock::now() - before < std::chrono::seconds(1));
  FakeSocket service(ZMQ_PULL, endpoint);
  for (unsigned i = 0; i < 50; ++i) {
    const Picture picture(20 + i, 30 + i, i % 3, i);
    REQUIRE(send_when_taken(sender, picture.frame, frame_id) == Sent::yes && frame_id == i);
    check_frame(service.receive(), picture, i);
  }
  REQUIRE(sender.sent() == 50 && sender.not_taken() >= 1);
}

void check_refused() {
  FrameSender sender(options_for(fresh_endpoint()));
  const auto refuses = [&sender](auto change, const char* text) {
    Picture picture(40, 60, 0, 1);
    change(picture.frame);
    REQUIRE(sender.send(picture.frame) == Sent::refused);
    if (std::strstr(sender.last_error(), text) == nullptr) std::fprintf(stderr, "%s\n", sender.last_error());
    REQUIRE(std::strstr(sender.last_error(), text) != nullptr);
  };
  refuses([](Frame& f) { f.pixels = nullptr; }, "frame.pixels: expected an address");
  refuses([](Frame& f) { f.height = 4000; }, "expected at most 100000 bytes of pixels, as set aside, got 240000");
  refuses([](Frame& f) { f.height = 2; }, "frame.height: expected 16..4096, got 2");
  refuses([](Frame& f) { f.row_bytes = 59; }, "frame.row_bytes: expected 0, or 60 or more, got 59");
  refuses([](Frame& f) { f.channels = 2; }, "frame.channels");
  REQUIRE(sender.sent() == 0 && sender.not_taken() == 0);
}

// A service that does not read: after some frames none is taken, nothing blocks, and those that were taken arrive.
void check_full_queue() {
  const std::string endpoint = fresh_endpoint();
  FakeSocket service(ZMQ_PULL, endpoint, 1);
  FrameSenderOptions options = options_for(endpoint);
  options.heartbeat_ms = 0;  // who does not read answers no heartbeats either
  FrameSender sender(options);
  const Picture picture(300, 300, 0, 5);
  std::uint64_t frame_id = 0;
  REQUIRE(send_when_taken(sender, picture.frame, frame_id) == Sent::yes);
  const auto before = std::chrono::steady_clock::now();
  const std::uint64_t not_taken = sender.not_taken();
  std::uint64_t attempts = 0;
  for (int in_a_row = 0; in_a_row < 100; ++attempts) {
    in_a_row = sender.send(picture.frame) == Sent::not_taken ? in_a_row + 1 : 0;
    REQUIRE(attempts < 1000);
    if (in_a_row > 0) sleep_ms(1);
  }
  REQUIRE(std::chrono::steady_clock::now() - before < std::chrono::seconds(20));
  REQUIRE(sender.sent() - 1 + sender.not_taken() - not_taken == attempts);
  for (std::uint64_t i = 0; i < sender.sent(); ++i) check_frame(service.receive(), picture, i);
  service.set(ZMQ_RCVTIMEO, 200);
  REQUIRE(service.receive().empty());
  REQUIRE(send_when_taken(sender, picture.frame, frame_id) == Sent::yes);
  service.set(ZMQ_RCVTIMEO, 10000);
  check_frame(service.receive(), picture, frame_id);
}

// To a service that is stopped nothing is sent once that is noticed.
void check_stopped_service() {
  const std::string endpoint = fresh_endpoint();
  int got[2];
  REQUIRE(pipe(got) == 0);
  ForkedService forked([&] {
    FakeSocket service(ZMQ_PULL, endpoint);
    service.set(ZMQ_RCVTIMEO, -1);
    while (service.receive().size() == 2 && write(got[1], "", 1) == 1) {
    }
  });
  FrameSenderOptions options = options_for(endpoint);
  options.heartbeat_ms = 200;
  FrameSender sender(options);
  const Picture picture(16, 16, 0, 1);  // few and small, so that no queue fills up
  std::uint64_t frame_id = 0;
  char byte = 0;
  REQUIRE(send_when_taken(sender, picture.frame, frame_id) == Sent::yes && read(got[0], &byte, 1) == 1);
  forked.stop();
  Sent sent = Sent::yes;
  std::size_t late = 0;
  for (; late < 50 && sent == Sent::yes; ++late) {
    sent = sender.send(picture.frame);
    sleep_ms(100);
  }
  REQUIRE(sent == Sent::not_taken);
  // Nor to the connection that the kernel makes for it meanwhile.
  for (int i = 0; i < 30; ++i, sleep_ms(50)) REQUIRE(sender.send(picture.frame) == Sent::not_taken);
  forked.go_on();
  REQUIRE(send_when_taken(sender, picture.frame, frame_id) == Sent::yes && read(got[0], &byte, 1) == 1);
  close(got[0]);
  close(got[1]);
}

// Nor over a link that is silent. When it is back, nothing comes that was not taken.
void check_silent_link() {
  const std::string endpoint = fresh_endpoint();
  FakeSocket service(ZMQ_PULL, endpoint);
  SilentLink link(endpoint);
  FrameSenderOptions options = options_for(link.endpoint());
  options.heartbeat_ms = 200;
  FrameSender sender(options);
  const Picture taken(16, 16, 0, 1), not_taken(16, 16, 0, 2);
  std::uint64_t frame_id = 0;
  REQUIRE(send_when_taken(sender, taken.frame, frame_id) == Sent::yes);
  check_frame(service.receive(), taken, frame_id);
  link.go_silent();
  const auto start = std::chrono::steady_clock::now();
  while (sender.send(taken.frame) == Sent::yes) {
    REQUIRE(std::chrono::steady_clock::now() - start < std::chrono::seconds(10));
    sleep_ms(20);
  }
  REQUIRE(std::chrono::steady_clock::now() - start > std::chrono::milliseconds(200));
  for (int i = 0; i < 50; ++i, sleep_ms(20)) REQUIRE(sender.send(not_taken.frame) == Sent::not_taken);
  link.come_back();
  REQUIRE(send_when_taken(sender, taken.frame, frame_id) == Sent::yes);
  // Frames that were taken before the silence was noticed may come late.
  for (std::uint64_t came = 0; came != frame_id;) {
    const Message message = service.receive();
    REQUIRE(message.size() == 2);
    came = number(message[0], "frame_id");
    REQUIRE(came <= frame_id);
    check_frame(message, taken, came);
  }
}

// A context that outlives its senders keeps no more of their memory than libzmq still reads.
void check_shared_context() {
  const auto context = std::make_shared<rubblemap::Context>();
  FrameSenderOptions options = options_for("nonsense");
  for (int i = 0; i < 3; ++i) {
    bool opened = true;
    try {
      FrameSender sender(options, context);
    } catch (const rubblemap::OpenError&) {
      opened = false;
    }
    REQUIRE(!opened && context->kept() == 0);
  }
  options.endpoint = fresh_endpoint();
  for (int i = 0; i < 3; ++i) {
    FrameSender sender(options, context);
    REQUIRE(context->kept() == 1);
  }
  REQUIRE(context->kept() == 0);

  // Frames that wait in a queue when their sender goes.
  FakeSocket service(ZMQ_PULL, options.endpoint, 1);
  const Picture picture(300, 300, 0, 5);
  options.linger_ms = 10000;
  options.heartbeat_ms = 0;
  auto sender = std::make_unique<FrameSender>(options, context);
  std::uint64_t frame_id = 0;
  REQUIRE(send_when_taken(*sender, picture.frame, frame_id) == Sent::yes);
  for (int in_a_row = 0; in_a_row < 100; sleep_ms(1)) {
    in_a_row = sender->send(picture.frame) == Sent::not_taken ? in_a_row + 1 : 0;
  }
  const std::uint64_t sent = sender->sent();
  sender.reset();
  REQUIRE(context->kept() == 1);
  for (std::uint64_t i = 0; i < sent; ++i) check_frame(service.receive(), picture, i);
  for (int i = 0; i < 1000 && context->kept() > 0; ++i) {
    sleep_ms(5);
    context->prune();
  }
  REQUIRE(context->kept() == 0);
}

// In a forked child, which has none of libzmq's threads, everything ends at once, and the parent's sender goes on.
void check_fork() {
  const std::string endpoint = fresh_endpoint();
  FakeSocket service(ZMQ_PULL, endpoint);
  auto context = std::make_shared<rubblemap::Context>();
  auto sender = std::make_unique<FrameSender>(options_for(endpoint), context);
  const Picture picture(16, 16, 0, 1);
  std::uint64_t frame_id = 0;
  REQUIRE(send_when_taken(*sender, picture.frame, frame_id) == Sent::yes);
  check_frame(service.receive(), picture, 0);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    alarm(5);
    const bool refused = !sender->usable() && sender->send(picture.frame) == Sent::refused &&
                         std::strstr(sender->last_error(), "after a fork") != nullptr;
    bool opened = true;
    try {
      FrameSender another(options_for(endpoint), context);
    } catch (const rubblemap::OpenError&) {
      opened = false;
    }
    sender.reset();
    context.reset();
    _exit(refused && !opened ? 0 : 1);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
  REQUIRE(sender->usable() && send_when_taken(*sender, picture.frame, frame_id) == Sent::yes && frame_id == 1);
  check_frame(service.receive(), picture, 1);
}

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// An epoch that is not given is above every one that the computer has used, whatever the clock says.
void check_epochs() {
  static const TemporaryFolder folder;  // for as long as the process has STATE_DIRECTORY
  REQUIRE(setenv("STATE_DIRECTORY", folder.path().c_str(), 1) == 0);
  const std::string path = folder.path() + "/epochs/nav%2Fcam%C3%A9.epoch";
  const std::string source = "nav/cam\xc3\xa9";
  const auto now = static_cast<std::uint32_t>(std::time(nullptr));
  const std::uint32_t first = rubblemap::take_epoch(source);
  REQUIRE(first >= now && first <= now + 5);
  REQUIRE(rubblemap::take_epoch(source) > first);
  std::ofstream(path) << "4000000000\n";
  REQUIRE(rubblemap::take_epoch(source) == 4000000001u && read_file(path) == "4000000001\n");
  std::ofstream(path) << "no number, and longer than one would be";
  const std::uint32_t next = rubblemap::take_epoch(source);
  REQUIRE(next >= now && next <= now + 60 && read_file(path) == std::to_string(next) + "\n");
  std::ofstream(path) << "4294967295\n";
  REQUIRE(rubblemap::take_epoch(source) == 4294967295u);

  std::ofstream(folder.path() + "/epochs/navcam.epoch") << "4000000000\n";
  const std::string endpoint = fresh_endpoint();
  FakeSocket service(ZMQ_PULL, endpoint);
  FrameSenderOptions options = options_for(endpoint);
  options.epoch.reset();
  FrameSender sender(options);
  const Picture picture(16, 16, 0, 1);
  std::uint64_t frame_id = 0;
  REQUIRE(send_when_taken(sender, picture.frame, frame_id) == Sent::yes);
  REQUIRE(number(service.receive()[0], "epoch") == 4000000001u);
}

void check_options() {
  const auto refuses = [](auto change, const char* text) {
    FrameSenderOptions options = options_for(fresh_endpoint());
    change(options);
    try {
      FrameSender sender(options);
    } catch (const rubblemap::OpenError& error) {
      REQUIRE(std::strstr(error.what(), text) != nullptr);
      return;
    }
    REQUIRE(!"refused");
  };
  refuses([](FrameSenderOptions& o) { o.source = ""; }, "source: expected 1..32 bytes");
  refuses([](FrameSenderOptions& o) { o.source = std::string(33, 's'); }, "got 33");
  refuses([](FrameSenderOptions& o) { o.max_pixel_bytes = 50u << 20; }, "max_pixel_bytes: expected 1..41943040");
  refuses([](FrameSenderOptions& o) { o.max_frames = 0; }, "max_frames: expected 1..1024, got 0");
  refuses([](FrameSenderOptions& o) { o.max_frames = ~std::size_t{0}; }, "max_frames: expected 1..1024, got 1844");
  refuses([](FrameSenderOptions& o) { o.linger_ms = -1; }, "linger_ms: expected 0..60000, got -1");
  refuses([](FrameSenderOptions& o) { o.linger_ms = 60001; }, "linger_ms: expected 0..60000, got 60001");
  refuses([](FrameSenderOptions& o) { o.heartbeat_ms = -1; }, "frames socket: heartbeat_ms: expected 0..600000");
  refuses([](FrameSenderOptions& o) { o.heartbeat_ms = 800'000'000; }, "expected 0..600000, got 800000000");
  refuses([](FrameSenderOptions& o) { o.keys = "/nowhere"; }, "/nowhere/client.key_secret");
}

}  // namespace

int main() {
  check_stopped_service();  // first: it forks, before there are threads
  check_frames();
  check_refused();
  check_full_queue();
  check_silent_link();
  check_shared_context();
  check_fork();
  check_epochs();
  check_options();
  std::puts("frame sender: frames whole, a full queue reported");
  return 0;
}
