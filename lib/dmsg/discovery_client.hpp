#pragma once

#include "crypto/keys.hpp"
#include "dmsg/entry.hpp"
#include "http/client.hpp"
#include "net/context.hpp"

#include <memory>
#include <optional>
#include <vector>

namespace skywire::dmsg {

/// Who asks and tells a dmsg-discovery, however it is reached. Errors: dmsg::errc where the
/// discovery answered with one of its texts (section 12), errc::unavailable where it answered
/// nothing of use or was not reached, errc::timed_out. One event loop.
class DiscoveryClient {
 public:
    virtual ~DiscoveryClient() = default;

    /// A key's entry; errc::entry_not_found.
    virtual Task<Result<Entry>> entry(crypto::PublicKey key) = 0;
    /// Servers with free sessions; none is an empty list.
    virtual Task<Result<std::vector<Entry>>> available_servers() = 0;
    virtual Task<Result<std::vector<Entry>>> all_servers() = 0;
    /// Writes a signed entry.
    virtual Task<Result<>> post(Entry entry) = 0;
    /// Removes a signed entry.
    virtual Task<Result<>> erase(Entry entry) = 0;

    /// By how much the discovery's wall clock was ahead of ours at its last answer, to the second;
    /// nothing where that is not known.
    virtual std::optional<Duration> clock_ahead() const { return std::nullopt; }
};

/// Over HTTP, at "http://host:port", or over dmsg at "dmsg://PK:port" where `client` dials through
/// a network that knows dmsg. `client` outlives it.
Result<std::unique_ptr<DiscoveryClient>> make_http_discovery(
    const net::Context& context, http::Client& client, std::string_view url
);

/// Asks `first`; what it cannot answer because it is not reached is asked of `second`, and for a
/// while (10 s) nothing but `second` is asked. A refusal of the first is an answer.
std::unique_ptr<DiscoveryClient> make_fallback_discovery(
    const net::Context& context,
    std::unique_ptr<DiscoveryClient> first,
    std::unique_ptr<DiscoveryClient> second
);

/// A fixed list of servers, which delegate for everybody: what a direct client has instead of a
/// discovery. Every key's entry names all of them; post and erase succeed and do nothing.
std::unique_ptr<DiscoveryClient> make_static_discovery(std::vector<Entry> servers);

}  // namespace skywire::dmsg
