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

/// Where the sessions of a key are: streams to the key go to the newest. The one before it stays
/// for the streams it opens itself, and is found again when the newest has ended: a visor that
/// reaches its services over dmsg runs two clients of one key. Safe to call from any thread; asked
/// when a session begins or ends and when a stream is set up, never per byte, so a lock will do.
class SessionDirectory {
 public:
    /// Enters a session; the one that is to be closed for it: the oldest where the key has two
    /// already, with `alone` the newest where it has one.
    std::optional<SessionRef> put(const crypto::PublicKey& key, SessionRef session, bool alone);

    /// Takes a session out. Whether it was there.
    bool remove(const crypto::PublicKey& key, SessionRef session);

    /// The newest.
    std::optional<SessionRef> find(const crypto::PublicKey& key) const;

    /// Of all sessions.
    std::size_t size() const;

    /// The newest of each key, in no order: for the few peers of a server.
    std::vector<SessionRef> all() const;

 private:
    struct Sessions {
        SessionRef newest;
        std::optional<SessionRef> older;
    };
    struct Part {
        mutable std::mutex mutex;
        std::unordered_map<crypto::PublicKey, Sessions> sessions;
    };

    static constexpr std::size_t kParts = 16;

    Part& part_of(const crypto::PublicKey& key);
    const Part& part_of(const crypto::PublicKey& key) const;

    std::array<Part, kParts> parts_;
};

}  // namespace skywire::dmsg::detail
