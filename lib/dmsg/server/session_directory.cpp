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

std::optional<SessionRef> SessionDirectory::put(
    const crypto::PublicKey& key, SessionRef session, bool alone
) {
    Part& part = part_of(key);
    const std::scoped_lock lock(part.mutex);
    const auto [place, fresh] = part.sessions.try_emplace(key, Sessions{session, std::nullopt});
    if (fresh) return std::nullopt;
    Sessions& sessions = place->second;
    if (alone && !sessions.older) return std::exchange(sessions.newest, session);
    return std::exchange(sessions.older, std::exchange(sessions.newest, session));
}

bool SessionDirectory::remove(const crypto::PublicKey& key, SessionRef session) {
    Part& part = part_of(key);
    const std::scoped_lock lock(part.mutex);
    const auto place = part.sessions.find(key);
    if (place == part.sessions.end()) return false;
    Sessions& sessions = place->second;
    if (sessions.older == session) {
        sessions.older.reset();
        return true;
    }
    if (sessions.newest != session) return false;
    if (!sessions.older) {
        part.sessions.erase(place);
        return true;
    }
    sessions.newest = *sessions.older;
    sessions.older.reset();
    return true;
}

std::optional<SessionRef> SessionDirectory::find(const crypto::PublicKey& key) const {
    const Part& part = part_of(key);
    const std::scoped_lock lock(part.mutex);
    const auto place = part.sessions.find(key);
    if (place == part.sessions.end()) return std::nullopt;
    return place->second.newest;
}

std::size_t SessionDirectory::size() const {
    std::size_t sum = 0;
    for (const Part& part : parts_) {
        const std::scoped_lock lock(part.mutex);
        for (const auto& [key, sessions] : part.sessions)
            sum += sessions.older ? 2 : 1;
    }
    return sum;
}

std::vector<SessionRef> SessionDirectory::all() const {
    std::vector<SessionRef> found;
    for (const Part& part : parts_) {
        const std::scoped_lock lock(part.mutex);
        for (const auto& [key, sessions] : part.sessions)
            found.push_back(sessions.newest);
    }
    return found;
}

}  // namespace skywire::dmsg::detail
