#include "services/network_visualizer/neighbour.hpp"

#include "net/timer.hpp"
#include "services/network_visualizer/decode.hpp"

namespace skywire::network_visualizer {
namespace {

constexpr std::chrono::seconds kPace{1};
/// Until the first list is there.
constexpr std::chrono::milliseconds kFirst{20};
constexpr const char* kPlace = "the transport-discovery of this process";

}  // namespace

Neighbour::Neighbour(const net::Context& context, Copy& copy, transport::TransportView& view)
    : context_(context), copy_(copy), view_(view) {}

Task<> Neighbour::run() {
    following_ = view_.follow("", context_.loop, [this](const auto& update) { take(update); });
    while (true) {
        if (changed_) co_await write();
        const bool there = view_.published("");
        if (copy_.followed() && !there)
            copy_.failed(Origin::process, kPlace, fail(errc::unavailable, "it does not run"));
        copy_.follow(there && copy_.origin() == Origin::process);
        const bool first = copy_.origin() == Origin::none;
        const Duration pause = first ? Duration(kFirst) : Duration(kPace);
        const bool slept = co_await net::sleep_for(context_.clock, pause);
        if (!slept) co_return;
    }
}

void Neighbour::take(const transport::TransportView::Update& update) {
    if (update.complete) entries_.clear();
    for (const transport::Entry& entry : update.put)
        entries_.insert_or_assign(entry.id, entry);
    for (const transport::TransportId& id : update.removed)
        entries_.erase(id);
    changed_ = true;
}

Task<> Neighbour::write() {
    changed_ = false;
    std::vector<transport::Entry> entries;
    entries.reserve(entries_.size());
    for (const auto& [id, entry] : entries_)
        entries.push_back(entry);
    auto body = co_await context_.workers.run([entries = std::move(entries)] {
        return Result<Body>(transports_body(entries));
    });
    if (body) {
        copy_.replace(Origin::process, kPlace, std::move(*body));
    } else {
        // The workers have too much to do.
        changed_ = true;
    }
}

}  // namespace skywire::network_visualizer
