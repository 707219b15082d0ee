#pragma once

#include "base/test.hpp"
#include "mux/core.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

/// A core on the test bench: its output and events are written down, its time is moved by hand.
namespace skywire::mux::test {

using namespace std::chrono_literals;

class Rig final : public CoreEvents, public CoreOutput {
 public:
    using Maker = std::unique_ptr<Core> (*)(const CoreOptions&, CoreOutput&, SteadyTime);

    explicit Rig(Maker make, CoreOptions options = {}) : core_(make(options, *this, now)) {}

    Core& operator*() { return *core_; }
    Core* operator->() { return core_.get(); }

    Result<> feed(ByteSpan bytes) { return core_->on_bytes(bytes, now, *this); }
    /// In pieces of this size, up to the first error.
    Result<> feed(ByteSpan bytes, std::size_t piece) {
        for (std::size_t at = 0; at < bytes.size(); at += piece) {
            auto done = feed(bytes.subspan(at, std::min(piece, bytes.size() - at)));
            if (!done) return done;
        }
        return {};
    }
    Result<> tick() { return core_->on_time(now, *this); }
    Result<> pass(Duration time) {
        now += time;
        return tick();
    }

    /// The frames since the last call, in hex.
    std::string sent() { return to_hex(std::exchange(output, {})); }
    /// The events since the last call, "; " between them. Data that follow each other are one.
    std::string seen() {
        std::string all;
        for (const auto& event : std::exchange(events, {}))
            all += (all.empty() ? "" : "; ") + event;
        return all;
    }

    void on_stream(StreamId id) override {
        note("stream", id);
        if (during_stream) during_stream(id);
    }
    void on_refused(StreamId id) override { note("refused", id); }
    void on_data(StreamId id, ByteSpan payload) override {
        REQUIRE(!payload.empty());
        const std::string head = fmt::format("data {} ", id);
        if (events.empty() || events.back().rfind(head, 0) != 0) events.push_back(head);
        events.back() += to_hex(payload);
        received[id] += payload.size();
        if (during_data) during_data(id, payload.size());
    }
    void on_sendable(StreamId id) override { note("sendable", id); }
    void on_accepted(StreamId id) override { note("accepted", id); }
    void on_finished(StreamId id) override {
        note("finished", id);
        if (during_finished) during_finished(id);
    }
    void on_reset(StreamId id, errc why) override {
        events.push_back(fmt::format("reset {} {}", id, reason(why)));
    }
    void on_pong(Duration round_trip) override {
        events.push_back(fmt::format("pong {}ms", round_trip / 1ms));
    }
    void on_go_away() override { events.push_back("go-away"); }

    void on_frame(ByteSpan frame) override {
        output.insert(output.end(), frame.begin(), frame.end());
    }

    SteadyTime now{};
    Bytes output;
    std::vector<std::string> events;
    std::map<StreamId, std::size_t> received;
    std::function<void(StreamId)> during_stream;
    std::function<void(StreamId, std::size_t)> during_data;
    std::function<void(StreamId)> during_finished;

 private:
    void note(std::string_view what, StreamId id) {
        events.push_back(fmt::format("{} {}", what, id));
    }

    std::unique_ptr<Core> core_;
};

inline Bytes operator+(Bytes a, ByteSpan b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

inline ErrorCode code_of(const Result<>& result) {
    return result ? ErrorCode() : result.error().code();
}

}  // namespace skywire::mux::test
