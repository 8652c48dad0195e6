// What F Prime's autocoder wants of a deployment: its state, and how many pings a component may miss.
#pragma once

#include <Fw/Types/MallocAllocator.hpp>
#include <MapDeployment/Top/FppConstantsAc.hpp>
#include <Svc/FramingProtocol/FprimeProtocol.hpp>
#include <Svc/Health/Health.hpp>

#include "rubblemap/commander.hpp"
#include "rubblemap/receiver.hpp"

namespace MapDeployment {

struct TopologyState {
  const char* hostname = nullptr;  // of the ground system; nullptr: none
  U16 port = 0;
  rubblemap::ReceiverOptions receiver;
  rubblemap::CommanderOptions commander;
};

// Seconds without an answer to a ping until a warning, and until a fatal event.
namespace PingEntries {
namespace MapDeployment_cmdDisp {
enum { WARN = 5, FATAL = 30 };
}
namespace MapDeployment_eventLogger {
enum { WARN = 5, FATAL = 30 };
}
namespace MapDeployment_fastGroup {
enum { WARN = 5, FATAL = 30 };
}
namespace MapDeployment_maps {
enum { WARN = 10, FATAL = 60 };
}
namespace MapDeployment_prmDb {
enum { WARN = 5, FATAL = 30 };
}
namespace MapDeployment_slowGroup {
enum { WARN = 5, FATAL = 30 };
}
namespace MapDeployment_tlmSend {
enum { WARN = 5, FATAL = 30 };
}
}  // namespace PingEntries

}  // namespace MapDeployment
