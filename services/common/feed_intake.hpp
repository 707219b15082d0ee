#pragma once

#include "cxo/aggregator.hpp"
#include "cxo/node.hpp"
#include "framework/service.hpp"
#include "net/scope.hpp"
#include "net/timer.hpp"
#include "services/common/dmsg_presence.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace skywire::services {

/// The feeds of visors that connect to a dmsg port of a service and publish what they would
/// otherwise send over HTTP: spec/cxo.md section 9, "Reverse-dial aggregation". The key of a feed
/// is proven by its dmsg stream; what the feed says is judged by whoever takes it, one publisher
/// at a time, the newest state of each, and of none of them more often than every `spacing`; of a
/// publisher that is not connected nothing, since it may say something else elsewhere by now. The
/// loop has turns between, for as long as a take has needed.
///
/// A feed may have `feed_bytes_max` in `objects_max` objects. Where all together hold more than
/// `bytes_max` nobody new is followed, and of those that hold more than an equal part of it the
/// newest are let go until all hold less; where there are `feeds_max` of them, whoever has been
/// there longest, and for `patience`, without anything that could be taken gives way to the next.
/// Who is not followed is hung up on. All that is counted (cxo_link_events_total).
class FeedIntake {
 public:
    /// What has come of what a publisher says.
    enum class Taken {
        done,
        /// There was nothing that could be taken.
        nothing,
        /// It cannot be taken now: once more after `spacing`.
        again,
        /// There is no room for it, nor for what others say: once more after `respite`.
        full,
    };

    struct Options {
        Options(crypto::KeyPair keys_in) : keys(std::move(keys_in)) {}

        /// The check's name.
        std::string name = "feed-in";
        crypto::KeyPair keys;
        /// The dmsg port; 0: none.
        std::uint16_t port = 0;
        /// What of the feeds is wanted.
        std::string prefix;
        /// What has not changed is taken again so long after it was taken, while its publisher is
        /// connected; zero: once is enough.
        Duration renew{0};
        /// Before what there was no room for is tried again.
        Duration respite{std::chrono::seconds(90)};
        /// The shortest between two of one publisher.
        Duration spacing{std::chrono::seconds(5)};
        std::size_t feeds_max = 4096;
        /// To say something of use.
        Duration patience{std::chrono::seconds(30)};
        /// Of one feed.
        std::size_t objects_max = 1000;
        /// Of one feed: of its leaves, of their paths, and of an object on its way.
        std::size_t feed_bytes_max = std::size_t{512} << 10;
        /// Of all feeds together, what is being fetched and buffers of connections among it.
        std::size_t bytes_max = std::size_t{256} << 20;
        /// How often that is looked at.
        Duration weighing{std::chrono::seconds(1)};
    };

    /// Takes what a publisher says now.
    using Take = std::function<Task<Taken>(crypto::PublicKey publisher, cxo::Tree tree)>;
    /// A publisher has been away for minutes, or was let go: nothing is known of it any more. Its
    /// last `Take` has ended.
    using Forgotten = std::function<void(const crypto::PublicKey& publisher)>;

    /// All outlive it; `presence` may be null.
    FeedIntake(
        const net::Context& context,
        DmsgPresence* presence,
        Options options,
        Take take,
        Forgotten forgotten = {}
    );
    ~FeedIntake();
    FeedIntake(const FeedIntake&) = delete;
    FeedIntake& operator=(const FeedIntake&) = delete;

    void start();
    /// Also there; the carrier proves keys.
    void serve(std::unique_ptr<net::Listener> listener, cxo::Carrier carrier) {
        node_.serve(std::move(listener), carrier);
    }
    std::vector<net::Address> addresses() const { return node_.addresses(); }

    /// Warns where it does not listen: visors go by HTTP.
    framework::Check check() const;

    std::size_t publishers() const noexcept { return aggregator_.size(); }

    /// The names of what was late. Also before the end of one that was never started.
    Task<std::vector<std::string>> stop(SteadyTime deadline);

 private:
    cxo::AggregatorOptions aggregator_options();
    bool wanted(const crypto::PublicKey& publisher);
    bool make_room();
    void changed(const crypto::PublicKey& publisher);
    /// Not later than it is to be taken already.
    void queue(const crypto::PublicKey& publisher, SteadyTime at);
    void leave_queue(const crypto::PublicKey& publisher);
    void forget(const crypto::PublicKey& publisher);
    void tell_forgotten(const crypto::PublicKey& publisher);
    void note_busy(const crypto::PublicKey& publisher);
    Task<> work();
    Task<> rest(Duration taken);
    Task<> take(crypto::PublicKey publisher);
    Task<> keep_weighing();
    void weigh();

    net::Context context_;
    DmsgPresence* presence_;
    Options options_;
    Take take_;
    Forgotten forgotten_;
    cxo::Node node_;
    /// To be taken, and when: the longest waiting first.
    std::set<std::pair<SteadyTime, crypto::PublicKey>> queue_;
    std::map<crypto::PublicKey, SteadyTime> queued_;
    /// There is more in the queue than `work` has seen.
    bool woken_ = false;
    /// Those who have been taken: not earlier again than this.
    std::map<crypto::PublicKey, SteadyTime> not_before_;
    /// Followed since when, without anything that could be taken: the longest first.
    std::set<std::pair<SteadyTime, crypto::PublicKey>> idle_;
    std::map<crypto::PublicKey, SteadyTime> idle_since_;
    /// Whose `Take` is under way.
    std::optional<crypto::PublicKey> taking_;
    /// Why it does not listen.
    std::string deaf_;
    net::Timer timer_;
    cxo::Aggregator aggregator_;
    net::Scope scope_;
};

}  // namespace skywire::services
