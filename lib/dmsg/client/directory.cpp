#include "dmsg/client/directory.hpp"

#include "dmsg/code.hpp"
#include "net/deadline.hpp"

#include <algorithm>

#include <boost/asio/this_coro.hpp>
#include <fmt/format.h>

namespace skywire::dmsg::detail {
namespace {

using namespace std::chrono_literals;

/// How long an answer is believed; and how much longer it serves while nobody answers.
constexpr Duration kFresh = 30s;
constexpr Duration kServes = 10min;
constexpr std::size_t kEntriesMax = 1024;
constexpr Duration kLookUpTimeout = 20s;

const Entry* find_server(const std::vector<Entry>& servers, const crypto::PublicKey& key) {
    const auto found = std::find_if(servers.begin(), servers.end(), [&](const Entry& entry) {
        return entry.static_key == key;
    });
    return found == servers.end() ? nullptr : &*found;
}

}  // namespace

Directory::Directory(
    const net::Context& context,
    std::vector<Entry> configured,
    DiscoveryClient& discovery,
    ClientCounters& counters
)
    : context_(context),
      configured_(std::move(configured)),
      discovery_(discovery),
      counters_(counters),
      scope_(context.loop) {}

Task<Result<Directory::Answer>> Directory::entry(crypto::PublicKey key) {
    const auto kept = entries_.find(key);
    if (kept != entries_.end() && context_.clock.now() - kept->second.at < kFresh) {
        co_return Answer{kept->second.entry, true};
    }
    std::shared_ptr<LookUp> asked;
    if (const auto found = under_way_.find(key); found != under_way_.end()) {
        asked = found->second;
    } else {
        asked = std::make_shared<LookUp>(context_.loop);
        under_way_.emplace(key, asked);
        const bool started = scope_.spawn(fmt::format("look-up of {}", key), [this, asked, key] {
            return look_up(asked, key);
        });
        if (!started) {
            under_way_.erase(key);
            co_return fail(skywire::errc::closed, "the dmsg client has stopped");
        }
    }
    while (!asked->result) {
        const bool notified = co_await asked->ended.wait();
        if (!notified) co_return fail(skywire::errc::cancelled, {});
    }
    co_return *asked->result;
}

Task<> Directory::look_up(std::shared_ptr<LookUp> look_up, crypto::PublicKey key) {
    co_await asio::this_coro::throw_if_cancelled(false);
    auto found = co_await net::with_deadline(
        context_.clock, context_.clock.now() + kLookUpTimeout, discovery_.entry(key)
    );
    under_way_.erase(key);
    look_up->result = answer_of(std::move(found), key);
    look_up->ended.notify();
}

Result<Directory::Answer> Directory::answer_of(Result<Entry> found, const crypto::PublicKey& key) {
    if (found) {
        keep(key, *found);
        return Answer{std::move(*found), false};
    }
    const Error error = found.error();
    counters_.look_up_failed(reason_of(error));
    if (error == make_error_code(errc::entry_not_found)) {
        entries_.erase(key);
        return error;
    }
    const auto kept = entries_.find(key);
    if (kept != entries_.end() && context_.clock.now() - kept->second.at < kServes) {
        return Answer{kept->second.entry, true};
    }
    return error.within(fmt::format("look-up of {}", key));
}

void Directory::keep(const crypto::PublicKey& key, const Entry& entry) {
    const SteadyTime now = context_.clock.now();
    if (entries_.size() >= kEntriesMax && !entries_.contains(key)) {
        const auto oldest =
            std::min_element(entries_.begin(), entries_.end(), [](const auto& a, const auto& b) {
                return a.second.at < b.second.at;
            });
        entries_.erase(oldest);
    }
    entries_.insert_or_assign(key, Kept{entry, now});
}

Task<Result<Entry>> Directory::server(crypto::PublicKey key) {
    for (const auto* list : {&configured_, &listed_}) {
        if (const Entry* known = find_server(*list, key)) co_return *known;
    }
    auto found = co_await entry(key);
    if (!found) co_return found.error();
    if (!found->entry.server) {
        co_return Error(
            Code::entry_not_of_server,
            fmt::format("{}: {}", make_error_code(Code::entry_not_of_server).message(), key)
        );
    }
    co_return std::move(found->entry);
}

Task<std::vector<std::string>> Directory::stop(SteadyTime deadline) {
    return scope_.close(context_.clock, context_.clock.now(), deadline);
}

}  // namespace skywire::dmsg::detail
