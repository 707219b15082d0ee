#pragma once

#include "base/clock.hpp"
#include "cxo/announcement.hpp"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace skywire::cxo {

/// How fast a feed speaks (section 10, "Pace of ours").
struct PublisherPace {
    /// A change after this long without one is published at once.
    Duration quiet{std::chrono::milliseconds(200)};
    /// Otherwise changes are gathered: at most one Root in so long.
    Duration interval{std::chrono::milliseconds(200)};
    /// Nothing published for so long: the same tree once more, so that subscribers of the network
    /// stay (section 6 rule 4). Never before the first version.
    Duration heartbeat{std::chrono::seconds(45)};
};

/// The source of a feed: the ordered map that is its truth, and when which version of it is
/// published. A state machine: changes and `now` in, versions out. spec/cxo.md section 9.
class Publisher {
 public:
    /// `start` is unix time in ns: the nonce of this chain of Roots, so that subscribers who saw
    /// an earlier run's follow at once (section 6 rule 2). The index outlives it.
    Publisher(
        const crypto::KeyPair& keys,
        ObjectIndex& index,
        const PublisherPace& pace,
        std::int64_t start
    );
    ~Publisher();
    Publisher(Publisher&&) noexcept;
    Publisher& operator=(Publisher&&) noexcept;

    const crypto::PublicKey& feed() const noexcept;

    /// As Tree::apply: all of them or none. A change that changes nothing publishes nothing.
    [[nodiscard]] Result<> batch(std::vector<Change> changes, SteadyTime now);
    [[nodiscard]] Result<> put(std::string_view path, Bytes value, SteadyTime now);
    [[nodiscard]] Result<> remove(std::string_view path, SteadyTime now);
    /// As Tree::remove_below.
    [[nodiscard]] Result<> remove_below(std::string_view path, SteadyTime now);
    /// An empty feed is published too, once it is known that there is nothing.
    void publish_even_if_empty(SteadyTime now);

    /// With all changes so far, published or not.
    const Tree& tree() const noexcept;
    /// The last version; null before the first.
    const AnnouncementPtr& last() const noexcept;

    /// When on_time has something to publish; SteadyTime::max() where it never has.
    SteadyTime next_time() const noexcept;
    /// The next version, if its time has come; `wall` is unix time in ns. Times of a chain never
    /// go back, whatever the clock does.
    AnnouncementPtr on_time(SteadyTime now, std::int64_t wall);

 private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace skywire::cxo
