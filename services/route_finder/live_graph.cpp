#include "services/route_finder/live_graph.hpp"

namespace skywire::route_finder {
namespace {

Counter& refreshes(const net::Context& context, const char* outcome) {
    return context.metrics.counter(
        "route_finder_refreshes_total",
        "Looks at the source of the graph, by outcome.",
        {{"outcome", outcome}}
    );
}

}  // namespace

LiveGraph::LiveGraph(const net::Context& context, Duration age_max)
    : context_(context),
      age_max_(age_max),
      changed_(refreshes(context, "changed")),
      unchanged_(refreshes(context, "unchanged")),
      failures_(refreshes(context, "failed")),
      unreadable_(context.metrics.counter(
          "route_finder_entries_unreadable_total", "Entries of a list that made no transport."
      )),
      transports_(context.metrics.gauge("route_finder_transports_count", "Transports in the graph.")
      ),
      visors_(context.metrics.gauge("route_finder_visors_count", "Visors in the graph.")) {}

const Graph* LiveGraph::current() const {
    const bool too_old =
        age_max_ > Duration::zero() && context_.clock.now() - confirmed_at_ > age_max_;
    return failure_.empty() || !too_old ? graph_.get() : nullptr;
}

void LiveGraph::replace(std::unique_ptr<Graph> graph) {
    graph_ = std::move(graph);
    edited();
}

void LiveGraph::edited() {
    transports_.set(static_cast<double>(graph_->transports()));
    visors_.set(static_cast<double>(graph_->visors()));
    changed_.add();
    confirmed_at_ = context_.clock.now();
    failure_.clear();
}

void LiveGraph::confirm() {
    unchanged_.add();
    confirmed_at_ = context_.clock.now();
    failure_.clear();
}

void LiveGraph::failed(const Error& error) {
    failures_.add();
    if (failure_.empty())
        log::warn(context_.logger, "graph.not_refreshed", log::kv("error", error.message()));
    failure_ = error.message();
}

framework::Check LiveGraph::check(const std::string& place) const {
    using Status = framework::Check::Status;
    const std::string why = failure_.empty() ? "no list yet" : failure_;
    if (current() == nullptr) return {"graph", Status::fail, place + ": " + why};
    if (!failure_.empty()) return {"graph", Status::warn, place + ": " + why};
    return {"graph", Status::pass, {}};
}

}  // namespace skywire::route_finder
