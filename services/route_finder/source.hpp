#pragma once

#include "http/client.hpp"
#include "net/context.hpp"
#include "services/route_finder/live_graph.hpp"
#include "services/route_finder/transport_list.hpp"
#include "store/store.hpp"
#include "transport/view.hpp"

#include <memory>
#include <string>
#include <string_view>

namespace skywire::route_finder {

/// Where the transports come from, in this order (spec/services-http.md section 7): a
/// transport-discovery of the same process, the store that one writes, its URL. Used on the
/// service's loop; the LiveGraph outlives it.
class GraphSource {
 public:
    virtual ~GraphSource() = default;

    /// Brings the graph up to date and tells it so, or of the failure. Never two at a time.
    virtual Task<> refresh() = 0;

    /// False: the source tells of changes by itself, and one `refresh` is enough.
    virtual bool polled() const noexcept = 0;

    /// Why nothing comes from a source that is not polled; empty while all is well.
    virtual std::string trouble() const { return {}; }

    /// Lets go of what it holds outside; a refresh under way ends soon.
    virtual void close() {}

    /// "http://127.0.0.1:9091", for health and logs.
    virtual std::string place() const = 0;
};

/// Follows the list of a transport-discovery of this process. `view` outlives it.
std::unique_ptr<GraphSource> make_view_source(
    const net::Context& context, LiveGraph& graph, transport::TransportView& view
);

/// Reads the records of a store that a transport-discovery writes (section 4.3). `store` outlives
/// it; `place` is what to call it.
std::unique_ptr<GraphSource> make_store_source(
    const net::Context& context, LiveGraph& graph, store::Store& store, std::string place
);

/// Asks GET /all-transports, with If-None-Match. The context's network dials keys where the URL
/// names one.
std::unique_ptr<GraphSource> make_url_source(
    const net::Context& context, LiveGraph& graph, std::string_view url, http::Url parsed
);

}  // namespace skywire::route_finder
