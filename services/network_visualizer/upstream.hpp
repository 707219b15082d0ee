#pragma once

#include "http/client.hpp"
#include "net/context.hpp"
#include "services/network_visualizer/copy.hpp"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace skywire::network_visualizer {

/// How long to wait after so many failures in a row: the refresh interval after none, else 1 s,
/// doubling up to 15 s, or to the interval where that is longer.
Duration pause_after(unsigned failures, Duration refresh) noexcept;

/// Keeps a copy current by asking a discovery for its lists over HTTP, each with If-None-Match
/// where it came with an ETag; one that is followed by other means is left alone. After a failure
/// it asks again soon, then ever more seldom. Bodies are bounded and read on a worker. Used on the
/// service's loop, one call of `run` at a time.
class Upstream {
 public:
    struct Options {
        std::string url;
        Duration refresh{0};
        /// Of one list: 60,000 transports.
        std::size_t bytes_max = std::size_t{16} << 20U;
    };

    /// The copy outlives it. The context's network dials keys where the URL names one.
    Upstream(const net::Context& context, Copy& copy, Options options);

    /// Until it is cancelled.
    Task<> run();
    /// Asks once.
    Task<> refresh();
    /// Ends what is under way.
    void close() { http_.close(); }

    const std::string& place() const noexcept { return options_.url; }

 private:
    /// One list that the part is made of.
    struct List {
        std::string target;
        /// 404 says that there is nothing of it.
        bool may_be_missing = false;
        std::string tag = {};
        std::shared_ptr<const std::string> text = {};
    };

    Task<Result<bool>> fetch(List& list);
    Task<> read();
    Duration pause();

    net::Context context_;
    Copy& copy_;
    Options options_;
    net::Address address_;
    http::Client http_;
    std::vector<List> lists_;
    /// Since the last time that all was well.
    unsigned failures_ = 0;
};

}  // namespace skywire::network_visualizer
