#pragma once

#include "net/scope.hpp"
#include "net/timer.hpp"
#include "sim/test.hpp"

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace skywire::sim {

/// What a simulation found wrong.
using Wrongs = std::vector<std::string>;

/// A world with what a test of a whole system needs beside it: chance, and a list of what went
/// wrong, into which coroutines write and at which the test looks. Base of such a system's class,
/// so that the world outlives all that runs in it.
class Trial {
 public:
    Trial(std::uint64_t seed, const LinkOptions& links)
        : coroutines_before_(net::Scope::process_size()), world(seed) {
        world.set_links(links);
    }
    Trial(const Trial&) = delete;
    Trial& operator=(const Trial&) = delete;

    void wrong(std::string what) {
        world.note("WRONG: " + what);
        wrongs.push_back(std::move(what));
    }
    /// Of something that should have ended: the names of what was late.
    void note_late(std::string_view who, const std::vector<std::string>& late) {
        for (const auto& name : late)
            wrong(fmt::format("{}: {} did not end", who, name));
    }
    /// Fails the test where something was wrong, showing the end of the trace.
    void check() const {
        CHECK(wrongs == Wrongs());
        if (!wrongs.empty()) throw std::runtime_error("the simulation went wrong");
    }
    /// Runs on until `done()`, looked at after each event, or until something is wrong.
    template <class Done>
    [[nodiscard]] bool run_until(Done done, Duration limit) {
        const bool reached =
            world.run_until([&] { return !wrongs.empty() || done(); }, limit) && wrongs.empty();
        check();
        return reached;
    }
    /// The same, looked at ten times a second: what is `done` costs more than an event.
    template <class Done>
    [[nodiscard]] bool run_until_seen(Done done, Duration limit) {
        constexpr Duration kLookEvery = std::chrono::milliseconds(100);
        for (Duration passed{}; passed < limit; passed += kLookEvery) {
            if (done()) return true;
            world.run_for(kLookEvery);
            check();
        }
        return done();
    }
    /// Once all has been told to end, and time for the last segments on their way.
    void look_for_leftovers() {
        world.run_for(std::chrono::minutes(1));
        if (world.connections() > 0) wrong("connections left: " + world.waiting());
        const std::size_t coroutines = net::Scope::process_size();
        if (coroutines != coroutines_before_)
            wrong(fmt::format("{} coroutines left", coroutines - coroutines_before_));
    }

    Random& random() { return world.test_random(); }
    std::size_t below(std::size_t bound) { return std::size_t(random().below(bound)); }
    bool chance(double probability) { return random().next_unit() < probability; }
    Duration between(Duration low, Duration high) {
        return low + Duration(std::int64_t(random().below(std::uint64_t((high - low).count()))));
    }
    Task<> sleep(Duration duration) { co_await net::sleep_for(world.clock(), duration); }

 private:
    std::size_t coroutines_before_;

 public:
    World world;
    Wrongs wrongs;
};

}  // namespace skywire::sim
