#pragma once

#include "base/test.hpp"
#include "cxo/leaf.hpp"
#include "net/test_loop.hpp"
#include "services/common/feed_host.hpp"

#include <map>
#include <string>
#include <vector>

/// For tests of what services publish.
namespace skywire::services {

/// A feed's leaves as a subscriber would have them, unpacked, kept up to date by hand.
class TestFeed {
 public:
    TestFeed(net::TestLoop& loop, FeedContent& content) : loop_(loop), content_(content) {}

    /// Asks the content once; the paths that it named, in order, "-PATH" for those that are gone.
    std::vector<std::string> update() {
        std::vector<std::string> paths;
        for (const cxo::Change& change : loop_.run(content_.changes()).value()) {
            if (!change.value) {
                // A removal of what is not there changes nothing.
                if (leaves.erase(change.path) > 0) paths.push_back("-" + change.path);
                continue;
            }
            auto payload = cxo::read_leaf(*change.value).value();
            const auto found = leaves.find(change.path);
            if (found != leaves.end() && found->second == payload) continue;
            leaves[change.path] = std::move(payload);
            paths.push_back(change.path);
        }
        return paths;
    }

    /// The changes as they are, those that change nothing too.
    std::size_t raw_changes() { return loop_.run(content_.changes()).value().size(); }

    std::map<std::string, std::string> leaves;

 private:
    net::TestLoop& loop_;
    FeedContent& content_;
};

using Paths = std::vector<std::string>;

}  // namespace skywire::services
