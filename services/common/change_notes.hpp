#pragma once

#include "net/context.hpp"
#include "store/store.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace skywire::services {

/// Tells replicas that share a Redis which keys each has written, so that none needs to read
/// everything to see it: a counter `PREFIX:feed:changes`, and under `PREFIX:feed:change:N` the keys
/// of the N-th note, a line each, for a minute. Notes are gathered: writers do not wait for them.
///
/// Programs that know nothing of it, and a replica that dies with a note untold, are found by
/// reading everything now and then. Used on one event loop; all errors are the store's.
class ChangeNotes {
 public:
    /// `store` outlives it.
    ChangeNotes(const net::Context& context, store::Store& store, std::string prefix);

    /// Tells the others.
    Task<Result<>> tell(std::vector<std::string> keys);

    /// What others have told since the last call; nothing where some of it was missed, as in the
    /// first call: then everything is to be looked at.
    using Heard = std::optional<std::vector<std::string>>;
    Task<Result<Heard>> hear();

 private:
    std::string value_key(std::uint64_t number) const;
    Task<Result<std::uint64_t>> newest();

    net::Context context_;
    store::Store& store_;
    std::string prefix_;
    /// Nothing: not heard yet.
    std::optional<std::uint64_t> seen_;
    /// Taken by somebody and not yet written, with the time from which they are given up.
    std::map<std::uint64_t, SteadyTime> awaited_;
    std::set<std::uint64_t> own_;
};

}  // namespace skywire::services
