#include "dmsg/server/session_directory.hpp"

namespace skywire::dmsg::detail {

namespace {

// The map below uses the low bits of the same hash.
std::size_t part_number(const crypto::PublicKey& key, std::size_t parts) {
    return (std::hash<crypto::PublicKey>()(key) >> 48) % parts;
}

}  // namespace

SessionDirectory::Part& SessionDirectory::part_of(const crypto::PublicKey& key) {
    return parts_[part_number(key, kParts)];
}

const SessionDirectory::Part& SessionDirectory::part_of(const crypto::PublicKey& key) const {
    return parts_[part_number(key, kParts)];
}

std::optional<SessionRef> SessionDirectory::put(const crypto::PublicKey& key, SessionRef session) {
    Part& part = part_of(key);
    const std::scoped_lock lock(part.mutex);
    const auto [place, fresh] = part.sessions.try_emplace(key, session);
    if (fresh) return std::nullopt;
    return std::exchange(place->second, session);
}

bool SessionDirectory::remove(const crypto::PublicKey& key, SessionRef session) {
    Part& part = part_of(key);
    const std::scoped_lock lock(part.mutex);
    const auto place = part.sessions.find(key);
    if (place == part.sessions.end() || place->second != session) return false;
    part.sessions.erase(place);
    return true;
}

std::optional<SessionRef> SessionDirectory::find(const crypto::PublicKey& key) const {
    const Part& part = part_of(key);
    const std::scoped_lock lock(part.mutex);
    const auto place = part.sessions.find(key);
    if (place == part.sessions.end()) return std::nullopt;
    return place->second;
}

std::size_t SessionDirectory::size() const {
    std::size_t sum = 0;
    for (const Part& part : parts_) {
        const std::scoped_lock lock(part.mutex);
        sum += part.sessions.size();
    }
    return sum;
}

std::vector<SessionRef> SessionDirectory::all() const {
    std::vector<SessionRef> found;
    for (const Part& part : parts_) {
        const std::scoped_lock lock(part.mutex);
        for (const auto& [key, session] : part.sessions)
            found.push_back(session);
    }
    return found;
}

}  // namespace skywire::dmsg::detail
