#pragma once

#include "base/result.hpp"
#include "services/network_visualizer/part.hpp"
#include "transport/entry.hpp"

#include <string>
#include <string_view>
#include <vector>

/// What upstreams list, made into what is handed out. Everything of it is other people's text: keys
/// are 66 hex digits or the item is left out, other texts are cut short, counts are bounded, and
/// the JSON is written anew. Used on worker threads. Formats: spec/services-http.md sections 3 and
/// 5.1, spec/dmsg.md section 12, spec/visor.md section 13.1 for what comes out.
///
/// Errors: errc::malformed where a list is no JSON, or JSON of another kind.
namespace skywire::network_visualizer {

/// Items of one part; more are counted as unreadable.
inline constexpr std::size_t kItemsMax = 200'000;
/// Bytes of a type, label, version or country.
inline constexpr std::size_t kTextSizeMax = 32;

/// Lists of services, one for each type: arrays of the records that GET /api/services answers, or
/// null. Out comes {KEY: {"pk":KEY,"services":[{"type","port","version"}],"country"}}.
Result<Body> services_body(const std::vector<std::string_view>& lists);

/// What GET /dmsg-discovery/servers/clients answers (keys, or entries where those are listed), and
/// the entries of all servers, or an empty text. Out comes
/// {SERVER: [{"static":CLIENT,"client":{"delegated_servers":[SERVER,...]}},...]}; servers without
/// clients are there too.
Result<Body> clients_body(std::string_view servers_clients, std::string_view servers);

/// The array that GET /all-transports answers, or null. Out comes the same array, of the members
/// t_id, edges, type and label.
Result<Body> transports_body(std::string_view list);

/// The same of a transport-discovery in this process.
Body transports_body(const std::vector<transport::Entry>& entries);

/// A leaf of a feed, unpacked.
struct Leaf {
    std::string path;
    std::string text;
};

/// The same bodies from the leaves of a feed, in the newest layout of spec/cxo.md section 10. A
/// feed without a leaf has nothing. errc::unsupported where there are leaves and all are of another
/// layout.
Result<Body> leaves_body(Part part, const std::vector<Leaf>& leaves);

}  // namespace skywire::network_visualizer
