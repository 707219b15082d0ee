// Requests without an answer, against a map of them.

#include "cxo/detail/requests.hpp"

#include "base/test.hpp"

#include <map>
#include <random>

namespace skywire::cxo::detail {
namespace {

Request request_at(int number) {
    return {
        Type::request_object, Hash{static_cast<std::byte>(number)}, SteadyTime(Duration(number))
    };
}

}  // namespace

TEST_CASE("cxo requests: answered in any order, whatever the numbers") {
    // Numbers go round in the second.
    const std::uint32_t start = GENERATE(1U, 0xffff'ff00U);
    std::mt19937 random(start);
    Requests requests;
    std::map<int, std::uint32_t> model;
    std::uint32_t seq = start;
    int number = 0;
    for (int step = 0; step < 20'000; ++step) {
        // Waves, so that it is large and empty by turns.
        const bool grows = step / 500 % 2 == 0;
        if (random() % 4 < (grows ? 3U : 1U)) {
            seq += 1 + random() % 3;
            requests.add(seq, request_at(++number));
            model.emplace(number, seq);
        } else if (!model.empty() && random() % 8 == 0) {
            REQUIRE(requests.pop().at == SteadyTime(Duration(model.begin()->first)));
            model.erase(model.begin());
        } else if (!model.empty()) {
            auto answered = model.begin();
            if (random() % 2 == 0) std::advance(answered, random() % model.size());
            const Request* const found = requests.find(answered->second);
            REQUIRE(found != nullptr);
            REQUIRE(found->at == SteadyTime(Duration(answered->first)));
            requests.erase(answered->second);
            REQUIRE(requests.find(answered->second) == nullptr);
            model.erase(answered);
        }
        REQUIRE(requests.find(seq + 1) == nullptr);
        REQUIRE(requests.empty() == model.empty());
        if (model.empty()) {
            REQUIRE(requests.memory() == 0);
        } else {
            REQUIRE(requests.oldest().at == SteadyTime(Duration(model.begin()->first)));
        }
    }
}

TEST_CASE("cxo requests: who leaves the oldest without an answer costs no more") {
    Requests requests;
    requests.add(1, request_at(1));
    for (std::uint32_t seq = 2; seq < 100'000; ++seq) {
        requests.add(seq, request_at(2));
        requests.erase(seq);
    }
    REQUIRE(requests.find(1) != nullptr);
    REQUIRE(requests.memory() < 8192);
    requests.erase(1);
    REQUIRE(requests.memory() == 0);
}

}  // namespace skywire::cxo::detail
