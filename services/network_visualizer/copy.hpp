#pragma once

#include "base/metrics.hpp"
#include "framework/service.hpp"
#include "net/context.hpp"
#include "services/network_visualizer/part.hpp"

#include <map>
#include <string>
#include <utility>

namespace skywire::network_visualizer {

/// How it stands with the feed of a part.
enum class FeedState {
    /// Nobody reads it.
    none,
    /// There has been no snapshot yet.
    waiting,
    /// The copy is what the feed says.
    live,
    /// It was there, and is not any more, or cannot be read.
    lost,
};

std::string_view feed_state_name(FeedState state) noexcept;

/// The local copy of one part, and how current it is: whatever happens to its sources, the last
/// copy stays, with its age. Used on the service's loop.
class Copy {
 public:
    Copy(const net::Context& context, Part part);

    /// What the source has, as of now.
    void replace(Origin origin, std::string place, Body body);
    /// The source has what the copy says still, as of now.
    void confirm();
    /// The source has not answered, or nothing that could be read.
    void failed(Origin origin, std::string place, const Error& error);

    /// Its source says by itself when it changes: no need to ask, and no age while it does. Where
    /// that ends, `age` is how long ago the source was last heard.
    void follow(bool followed, Duration age = Duration(0));
    bool followed() const noexcept { return followed_; }

    /// What is told of the feed, whatever the copy is from; `detail` says why it is not live.
    void feed(FeedState state, std::string detail);
    FeedState feed_state() const noexcept { return feed_state_; }
    const std::string& feed_detail() const noexcept { return feed_detail_; }
    /// How long it has been in this state.
    Duration feed_state_age() const;

    /// A try that failed and changes nothing.
    void count_failure(Origin origin) { counted(origin, "failed").add(); }

    Part part() const noexcept { return part_; }
    /// Whose copy it is; Origin::none before the first.
    Origin origin() const noexcept { return origin_; }
    /// "http://127.0.0.1:9098": of the copy, else of the source that was tried.
    const std::string& place() const noexcept { return place_; }
    /// Without text before the first copy.
    const Body& body() const noexcept { return body_; }
    /// Since the source said that it is so; zero while it is followed or there is none.
    Duration age() const;
    /// Why it is not brought up to date; empty while it is.
    const std::string& failure() const noexcept { return failure_; }

    /// "services", "dmsg" or "transports": fails while it is not brought up to date; warns while
    /// its feed is lost and it is asked for instead.
    framework::Check check() const;

 private:
    Counter& counted(Origin origin, std::string_view outcome);
    void fresh();

    net::Context context_;
    Part part_;
    Origin origin_ = Origin::none;
    std::string place_;
    Body body_;
    std::string failure_;
    SteadyTime as_of_{};
    bool followed_ = false;
    FeedState feed_state_ = FeedState::none;
    std::string feed_detail_;
    SteadyTime feed_since_{};
    std::map<std::pair<Origin, std::string_view>, Counter*> counters_;
    Counter& unreadable_;
    Gauge& items_;
};

}  // namespace skywire::network_visualizer
