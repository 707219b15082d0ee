#pragma once

#include "mux/core.hpp"

#include <algorithm>

namespace skywire::mux::detail {

/// When a session asks its peer for a sign of life, and when it gives the peer up.
class Liveness {
 public:
    Liveness(const CoreOptions& options, SteadyTime now) noexcept
        : ping_after_(options.ping_after),
          ping_timeout_(options.ping_timeout),
          keep_alive_(options.keep_alive),
          act_at_(now + ping_after_),
          keep_alive_at_(now + keep_alive_) {}

    /// Any byte is a sign of life.
    void on_received(SteadyTime now) noexcept {
        asked_ = false;
        act_at_ = now + ping_after_;
    }

    enum class Due { nothing, ping, silent };
    Due on_time(SteadyTime now) noexcept {
        bool ping = false;
        if (now >= act_at_) {
            if (asked_) return Due::silent;
            // Counted from the question, not from the last byte: whoever slept through both times
            // still asks before giving up.
            asked_ = true;
            act_at_ = now + ping_timeout_;
            ping = true;
        }
        if (now >= keep_alive_at_) {
            keep_alive_at_ = now + keep_alive_;
            ping = true;
        }
        return ping ? Due::ping : Due::nothing;
    }

    SteadyTime next_time() const noexcept { return std::min(act_at_, keep_alive_at_); }

 private:
    Duration ping_after_;
    Duration ping_timeout_;
    Duration keep_alive_;
    bool asked_ = false;
    /// When to ask; once asked, when to give up.
    SteadyTime act_at_;
    SteadyTime keep_alive_at_;
};

}  // namespace skywire::mux::detail
