#pragma once

#include "sim/trial.hpp"

#include <array>
#include <functional>
#include <utility>
#include <vector>

namespace skywire::sim {

/// Breaks links and machines of a trial at random, each for a while only. Its owner says what can
/// break, and how often that comes.
class Chaos {
 public:
    using Fault = std::function<Task<>()>;

    explicit Chaos(Trial& trial) : trial_(trial), scope_(trial.world.loop()) {}
    Chaos(const Chaos&) = delete;
    Chaos& operator=(const Chaos&) = delete;
    ~Chaos() {
        const auto now = trial_.world.clock().now();
        trial_.world.run(scope_.close(trial_.world.clock(), now, now + std::chrono::seconds(1)));
    }

    /// Breaks something and, before it ends, repairs it. It comes so many times as often as one of
    /// weight 1.
    void add(std::size_t weight, const Fault& fault) {
        faults_.insert(faults_.end(), weight, fault);
    }

    /// Begins; `under_way` is 0 again once the last one has been repaired.
    void run_for(Duration duration, Duration pause_min, Duration pause_max) {
        const SteadyTime until = trial_.world.clock().now() + duration;
        scope_.spawn("faults", [this, until, pause_min, pause_max] {
            return run(until, pause_min, pause_max);
        });
    }
    std::size_t under_way() const noexcept { return scope_.size(); }

    // What most of them are made of.

    /// Half-open where it is one direction only.
    Task<> cut(std::pair<Node*, Node*> link, Duration most) {
        constexpr std::array kDirections{Direction::both, Direction::forward, Direction::backward};
        const auto [a, b] = link;
        trial_.world.cut(*a, *b, kDirections[trial_.below(kDirections.size())]);
        co_await trial_.sleep(trial_.between(std::chrono::milliseconds(500), most));
        trial_.world.heal(*a, *b);
    }
    /// A link has other options for a while.
    Task<> have_link(
        std::pair<Node*, Node*> link, LinkOptions options, LinkOptions usual, Duration most
    ) {
        const auto [a, b] = link;
        trial_.world.set_link(*a, *b, options);
        co_await trial_.sleep(trial_.between(std::chrono::seconds(5), most));
        trial_.world.set_link(*a, *b, usual);
    }
    Task<> freeze(Node* node, Duration duration) {
        node->freeze();
        co_await trial_.sleep(duration);
        node->thaw();
    }
    Death some_death() {
        constexpr std::array kDeaths{Death::silent, Death::reset, Death::process};
        return kDeaths[trial_.below(kDeaths.size())];
    }

 private:
    Task<> run(SteadyTime until, Duration pause_min, Duration pause_max) {
        while (trial_.world.clock().now() < until) {
            scope_.spawn("fault", faults_[trial_.below(faults_.size())]);
            co_await trial_.sleep(trial_.between(pause_min, pause_max));
        }
    }

    Trial& trial_;
    std::vector<Fault> faults_;
    net::Scope scope_;
};

}  // namespace skywire::sim
