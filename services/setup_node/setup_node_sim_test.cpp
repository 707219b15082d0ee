// Set-ups at random, by visors that refuse, hang and leave: whatever happens, the visors end up
// with the rules of those routes whose initiators have been answered, and with no others.

#include "services/setup_node/test_setup.hpp"

#include <algorithm>

namespace skywire::setup_node {
namespace {

using namespace test;

constexpr int kSteps = 60;
/// What a route of two hops puts on other visors than the one that asks.
constexpr std::size_t kRulesOfRoute = 4;

class Chaos {
 public:
    explicit Chaos(std::uint64_t seed) : world_({}, seed) {
        for (const auto& [name, visor] : world_.visors) {
            visor->of_2026();
            names_.push_back(name);
        }
    }

    void run() {
        for (int step = 0; step < kSteps; ++step) {
            act();
            world_.rig.world.run_for(std::chrono::milliseconds(below(1500)));
        }
        for (const auto& [name, visor] : world_.visors) {
            visor->refuses.clear();
            visor->hangs.clear();
        }
        REQUIRE(world_.rig.world.run_until(
            [&] {
                return std::all_of(asked_.begin(), asked_.end(), [](const auto& each) {
                    return each->answer.ended();
                });
            },
            2min
        ));
        world_.wait_idle();
    }

    void check() {
        const std::uint64_t delivered = calls("ok");
        CHECK(world_.unwound("failed") == 0);
        CHECK(world_.rules_everywhere() == kRulesOfRoute * delivered);
        std::uint64_t answered = 0;
        for (const auto& each : asked_) {
            const auto& rules = *each->answer.result();
            if (!rules) continue;
            ++answered;
            check_chain(each->route, *rules);
        }
        CHECK(answered <= delivered);
    }

    std::uint64_t calls(std::string outcome) {
        return world_.rig.world.node("setup")
            .metrics()
            .counter("rpc_calls_total", "", {{"server", "setup"}, {"outcome", std::move(outcome)}})
            .value();
    }

 private:
    std::size_t below(std::size_t bound) {
        return static_cast<std::size_t>(world_.rig.world.test_random().below(bound));
    }
    Visor& any() { return world_.visor(names_[below(names_.size())]); }
    std::string_view any_method() {
        constexpr std::array<std::string_view, 3> kMethods{
            router::kReserveIds, router::kAddIntermediaryRules, router::kAddEdgeRules
        };
        return kMethods[below(kMethods.size())];
    }

    void act() {
        switch (below(8)) {
            case 0:
                any().refuses[any_method()] = "failure code 1 (boom)";
                break;
            case 1:
                any().hangs.insert(any_method());
                break;
            case 2:
            case 3: {
                Visor& visor = any();
                visor.refuses.clear();
                visor.hangs.clear();
                break;
            }
            case 4:
                leave();
                break;
            default:
                ask();
                break;
        }
    }

    void ask() {
        std::vector<std::string> route = names_;
        std::swap(route[0], route[below(3)]);
        std::swap(route[1], route[1 + below(2)]);
        callers_.push_back(&world_.caller(route[0]));
        auto answer = world_.ask(*callers_.back(), World::route(route));
        asked_.push_back(std::make_unique<Question>(Question{std::move(route), std::move(answer)}));
    }

    void leave() {
        if (callers_.empty()) return;
        world_.rig.world.run(callers_[below(callers_.size())]->close());
    }

    /// What the initiator sends arrives at the far end, and what that sends comes back.
    void check_chain(const std::vector<std::string>& route, const router::EdgeRules& edge) {
        const auto& between = world_.visor(route[1]).rules;
        const auto& far = world_.visor(route[2]).rules;
        const auto there = between.find(edge.forward.next);
        REQUIRE(there != between.end());
        const auto taken = far.find(std::get<router::IntermediaryRule>(there->second).next);
        REQUIRE(taken != far.end());
        const auto& consume = std::get<router::ConsumeRule>(taken->second);
        CHECK(consume.descriptor == edge.forward.descriptor);
        const auto comes_back = [&](const auto& each) {
            const auto* rule = std::get_if<router::IntermediaryRule>(&each.second);
            return rule != nullptr && rule->next == edge.reverse.key &&
                   rule->transport == edge.forward.transport;
        };
        CHECK(std::any_of(between.begin(), between.end(), comes_back));
    }

    World world_;
    std::vector<std::string> names_;
    std::vector<rpc::Client*> callers_;
    struct Question {
        std::vector<std::string> route;
        World::Asked answer;
    };
    std::vector<std::unique_ptr<Question>> asked_;
};

}  // namespace

TEST_CASE("setup-node: at random, only routes that were answered leave rules") {
    std::uint64_t answered = 0;
    std::uint64_t failed = 0;
    sim::for_each_seed(10, [&](std::uint64_t seed) {
        Chaos chaos(seed);
        chaos.run();
        chaos.check();
        answered += chaos.calls("ok");
        failed += chaos.calls("error");
    });
    // Both happen, else the rest says nothing.
    CHECK(answered > 10);
    CHECK(failed > 10);
}

}  // namespace skywire::setup_node
