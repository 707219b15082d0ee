#pragma once

#include "base/metrics.hpp"
#include "framework/service.hpp"
#include "net/context.hpp"
#include "services/route_finder/graph.hpp"

#include <memory>
#include <string>

namespace skywire::route_finder {

/// The graph that answers, and how current it is. Used on the service's loop.
///
/// A source that fails leaves the last graph in place, which answers for `age_max` more and is
/// nothing known after that.
class LiveGraph {
 public:
    /// `age_max` zero: whatever its age.
    LiveGraph(const net::Context& context, Duration age_max);

    /// Null: nothing known.
    const Graph* current() const;

    /// Takes over a whole graph, current as of now.
    void replace(std::unique_ptr<Graph> graph);
    /// The graph, to be changed in place; then `edited`. Only after a `replace`.
    Graph* edit() noexcept { return graph_.get(); }
    void edited();
    /// Nothing has changed as of now.
    void confirm();
    void failed(const Error& error);
    /// Entries of a list that made no transport.
    void unreadable(std::size_t entries) { unreadable_.add(entries); }

    /// Check "graph": warn while the source fails, fail while nothing is known. `place` names the
    /// source.
    framework::Check check(const std::string& place) const;

 private:
    net::Context context_;
    Duration age_max_;
    std::unique_ptr<Graph> graph_;
    SteadyTime confirmed_at_{};
    /// Why the last try failed; empty while all is well.
    std::string failure_;
    Counter& changed_;
    Counter& unchanged_;
    Counter& failures_;
    Counter& unreadable_;
    Gauge& transports_;
    Gauge& visors_;
};

}  // namespace skywire::route_finder
