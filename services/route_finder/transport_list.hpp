#pragma once

#include "base/result.hpp"
#include "services/route_finder/graph.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

/// Transports as a transport-discovery hands them out and as it stores them: spec/services-http.md
/// sections 4.1 and 4.3. No I/O; may run on a worker.
namespace skywire::route_finder {

/// Keys read before: whether digits are a point of the curve costs 5 us.
class KeyCache {
 public:
    /// Null where the text is no key.
    crypto::PublicKey read(std::string_view text);

 private:
    static constexpr std::size_t kSizeMax = 200'000;

    boost::unordered_flat_map<std::string, crypto::PublicKey> keys_;
};

/// A graph made from a list.
struct Made {
    std::unique_ptr<Graph> graph;
    /// Entries that could not be read, or had no two keys: left out.
    std::size_t unreadable = 0;
};

/// The body of GET /all-transports: an array of entries, or null. errc::malformed where it is
/// neither.
Result<Made> graph_of_list(std::string_view body, KeyCache& keys);

/// The values of the keys transport-discovery:tp:ID.
Made graph_of_records(const std::vector<std::string>& records, KeyCache& keys);

}  // namespace skywire::route_finder
