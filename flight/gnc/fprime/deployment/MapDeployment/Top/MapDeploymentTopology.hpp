// A small deployment around Rubblemap::MapClient.
#pragma once

#include <MapDeployment/Top/MapDeploymentTopologyDefs.hpp>

namespace MapDeployment {

// Wires the components, opens the component's sockets, starts the threads and the link to the ground.
void setup_topology(const TopologyState& state);

// Runs the rate groups until stop_cycles() is called.
void run_cycles();

// For a thread other than the one in run_cycles().
void stop_cycles();

void teardown_topology(const TopologyState& state);

}  // namespace MapDeployment
