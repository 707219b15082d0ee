#pragma once

#include "mux/core.hpp"

#include <algorithm>
#include <map>
#include <vector>

namespace skywire::mux::detail {

/// The streams of a session by id, and which of them are late. Empty, it owns no memory.
///
/// A tree, since peers choose the ids: no choice makes its look-ups slow, and its nodes stay where
/// they are while other streams come and go. `Stream` has a member `SteadyTime deadline`.
template <class Stream>
class StreamTable {
 public:
    static constexpr SteadyTime kNever = SteadyTime::max();

    /// Null where there is none; valid until the stream is erased.
    Stream* find(StreamId id) noexcept {
        if (last_ != nullptr && last_id_ == id) return last_;
        const auto found = streams_.find(id);
        if (found == streams_.end()) return nullptr;
        // Frames of one stream tend to follow each other.
        last_id_ = id;
        last_ = &found->second;
        return last_;
    }
    const Stream* find(StreamId id) const noexcept {
        if (last_ != nullptr && last_id_ == id) return last_;
        const auto found = streams_.find(id);
        return found == streams_.end() ? nullptr : &found->second;
    }

    /// `id` is not in use.
    Stream& insert(StreamId id) {
        last_ = &streams_[id];
        last_id_ = id;
        return *last_;
    }

    void erase(StreamId id) noexcept {
        if (last_id_ == id) last_ = nullptr;
        streams_.erase(id);
    }

    std::size_t size() const noexcept { return streams_.size(); }

    void set_deadline(Stream& stream, SteadyTime deadline) noexcept {
        stream.deadline = deadline;
        next_deadline_ = std::min(next_deadline_, deadline);
    }

    /// No stream is late before this. It may be earlier than the earliest deadline: a deadline
    /// that is taken back does not move it.
    SteadyTime next_deadline() const noexcept { return next_deadline_; }

    /// The streams whose deadline has come, which are then without one.
    std::vector<StreamId> take_late(SteadyTime now) {
        std::vector<StreamId> late;
        if (now < next_deadline_) return late;
        next_deadline_ = kNever;
        for (auto& [id, stream] : streams_) {
            if (stream.deadline <= now) {
                stream.deadline = kNever;
                late.push_back(id);
            }
            next_deadline_ = std::min(next_deadline_, stream.deadline);
        }
        return late;
    }

 private:
    std::map<StreamId, Stream> streams_;
    SteadyTime next_deadline_ = kNever;
    StreamId last_id_ = 0;
    Stream* last_ = nullptr;
};

}  // namespace skywire::mux::detail
