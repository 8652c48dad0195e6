#include <Fw/Types/MallocAllocator.hpp>
#include <MapDeployment/Top/MapDeploymentTopology.hpp>
#include <MapDeployment/Top/MapDeploymentTopologyAc.hpp>
#include <Os/Console.hpp>
#include <Svc/FramingProtocol/FprimeProtocol.hpp>

namespace MapDeployment {

namespace {

constexpr NATIVE_INT_TYPE cycle_ms = 100;
constexpr FwTaskPriorityType receive_priority = 100;
constexpr U16 buffer_manager_id = 200;
constexpr U32 buffer_bytes = 4096;
constexpr U16 buffers = 30;
constexpr U32 watchdog_code = 0x123;

Os::Console console;
Fw::MallocAllocator allocator;
Svc::FprimeFraming framing;
Svc::FprimeDeframing deframing;

// The fast group runs in every cycle, the slow one once a second.
Svc::RateGroupDriver::DividerSet dividers{{{1, 0}, {10, 0}}};
NATIVE_INT_TYPE fast_context[Svc::ActiveRateGroup::CONNECTION_COUNT_MAX] = {};
NATIVE_INT_TYPE slow_context[Svc::ActiveRateGroup::CONNECTION_COUNT_MAX] = {};

Svc::Health::PingEntry ping_entries[] = {
    {PingEntries::MapDeployment_cmdDisp::WARN, PingEntries::MapDeployment_cmdDisp::FATAL, "cmdDisp"},
    {PingEntries::MapDeployment_eventLogger::WARN, PingEntries::MapDeployment_eventLogger::FATAL, "eventLogger"},
    {PingEntries::MapDeployment_fastGroup::WARN, PingEntries::MapDeployment_fastGroup::FATAL, "fastGroup"},
    {PingEntries::MapDeployment_maps::WARN, PingEntries::MapDeployment_maps::FATAL, "maps"},
    {PingEntries::MapDeployment_prmDb::WARN, PingEntries::MapDeployment_prmDb::FATAL, "prmDb"},
    {PingEntries::MapDeployment_slowGroup::WARN, PingEntries::MapDeployment_slowGroup::FATAL, "slowGroup"},
    {PingEntries::MapDeployment_tlmSend::WARN, PingEntries::MapDeployment_tlmSend::FATAL, "tlmSend"},
};

void configure_topology() {
  rateGroupDriver.configure(dividers);
  fastGroup.configure(fast_context, FW_NUM_ARRAY_ELEMENTS(fast_context));
  slowGroup.configure(slow_context, FW_NUM_ARRAY_ELEMENTS(slow_context));

  prmDb.configure("PrmDb.dat");
  prmDb.readParamFile();

  health.setPingEntries(ping_entries, FW_NUM_ARRAY_ELEMENTS(ping_entries), watchdog_code);

  Svc::BufferManager::BufferBins bins{};
  bins.bins[0].bufferSize = buffer_bytes;
  bins.bins[0].numBuffers = buffers;
  commBuffers.setup(buffer_manager_id, 0, allocator, bins);

  downlink.setup(framing);
  uplink.setup(deframing);
}

}  // namespace

void setup_topology(const TopologyState& state) {
  initComponents(state);
  setBaseIds();
  connectComponents();
  regCommands();
  configComponents(state);
  configure_topology();
  loadParameters();
  // Before the component's thread, as its sockets are for one thread at a time.
  maps.configure(state.receiver, state.commander);
  (void)maps.open();
  startTasks(state);
  if (state.hostname != nullptr) {
    comm.configure(state.hostname, state.port);
    comm.start(Os::TaskString("ReceiveTask"), true, receive_priority, Default::STACK_SIZE);
  }
}

void run_cycles() { timer.startTimer(cycle_ms); }

void stop_cycles() { timer.quit(); }

void teardown_topology(const TopologyState& state) {
  stopTasks(state);
  freeThreads(state);
  comm.stop();
  (void)comm.join();
  commBuffers.cleanup();
}

}  // namespace MapDeployment
