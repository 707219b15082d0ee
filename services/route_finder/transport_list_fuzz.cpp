// Any text that a transport-discovery may hand out as its list of transports, or keep as a record.

#include "services/route_finder/transport_list.hpp"

#include <cstdlib>

using namespace skywire;
using namespace skywire::route_finder;

namespace {

/// Every link leads to a visor that has one back.
void check(const Graph& graph) {
    for (std::size_t node = 0; node < graph.node_limit(); ++node) {
        for (const Graph::Link& link : graph.links(static_cast<Graph::Node>(node))) {
            bool back = false;
            for (const Graph::Link& other : graph.links(link.to))
                back = back || (other.id == link.id && other.preferred == link.preferred);
            if (!back || link.latency_us > kLatencyMaxUs) std::abort();
        }
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static KeyCache keys;
    const std::string text(reinterpret_cast<const char*>(data), size);
    if (const auto made = graph_of_list(text, keys)) check(*made->graph);
    check(*graph_of_records({text, text}, keys).graph);
    return 0;
}
