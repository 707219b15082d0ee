#pragma once

#include "crypto/keys.hpp"

#include <array>
#include <cstdint>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

namespace skywire::dmsg::detail {

/// A session of a server: the shard (event loop) it lives on, and its number there, which is never
/// used twice.
struct SessionRef {
    std::uint32_t shard = 0;
    std::uint64_t id = 0;

    bool operator==(const SessionRef&) const = default;
};

/// Where the session of a key is: one per key, the newest. Safe to call from any thread; asked when
/// a session begins or ends and when a stream is set up, never per byte, so a lock will do.
class SessionDirectory {
 public:
    /// Enters a session; the one it replaces, which is to be closed.
    std::optional<SessionRef> put(const crypto::PublicKey& key, SessionRef session);

    /// Takes a session out, unless a newer one has its place. Whether it was there.
    bool remove(const crypto::PublicKey& key, SessionRef session);

    std::optional<SessionRef> find(const crypto::PublicKey& key) const;

    std::size_t size() const;

    /// All sessions, in no order: for the few peers of a server.
    std::vector<SessionRef> all() const;

 private:
    struct Part {
        mutable std::mutex mutex;
        std::unordered_map<crypto::PublicKey, SessionRef> sessions;
    };

    static constexpr std::size_t kParts = 16;

    Part& part_of(const crypto::PublicKey& key);
    const Part& part_of(const crypto::PublicKey& key) const;

    std::array<Part, kParts> parts_;
};

}  // namespace skywire::dmsg::detail
