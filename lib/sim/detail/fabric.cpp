#include "sim/detail/fabric.hpp"

#include "sim/detail/connection.hpp"
#include "sim/detail/host.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace skywire::sim::detail {
namespace {

Duration time_of(std::size_t bytes, std::uint64_t bytes_per_second) {
    const std::chrono::duration<double> seconds(
        static_cast<double>(bytes) / static_cast<double>(bytes_per_second)
    );
    return std::chrono::duration_cast<Duration>(seconds);
}

LinkOptions loopback() {
    LinkOptions options;
    options.one_way_delay_min = options.one_way_delay_mean = Duration(0);
    options.retransmit_min = Duration(0);
    return options;
}

}  // namespace

Fabric::Fabric(std::uint64_t seed, ManualClock& clock, Executor loop, const WorldOptions& options)
    : clock_(clock),
      loop_(std::move(loop)),
      random_(seed),
      trace_(options.trace_events_max),
      links_(options.links),
      loopback_(loopback()) {}

void Fabric::schedule(Duration after, std::function<void()> work) {
    if (shut_down_) return;
    const SteadyTime at = clock_.now() + std::max(after, Duration(0));
    events_.emplace(When(at, events_made_++), std::move(work));
}

SteadyTime Fabric::next_event() const {
    return events_.empty() ? SteadyTime::max() : events_.begin()->first.first;
}

void Fabric::run_due() {
    const SteadyTime now = clock_.now();
    // Not what these schedule for the same moment: the loop runs in between.
    const std::uint64_t made = events_made_;
    while (!events_.empty() && events_.begin()->first.first <= now &&
           events_.begin()->first.second < made) {
        auto event = events_.extract(events_.begin());
        event.mapped()();
    }
}

void Fabric::shut_down() {
    shut_down_ = true;
    events_.clear();
}

bool Fabric::chance(double probability) {
    // Nothing is drawn where there is nothing to decide.
    return probability > 0 && random_.next_unit() < probability;
}

Duration Fabric::around(Duration mean) {
    if (mean <= Duration(0)) return Duration(0);
    const double drawn = -std::log(1 - random_.next_unit()) * static_cast<double>(mean.count());
    return Duration(static_cast<Duration::rep>(drawn));
}

Path& Fabric::path(Host& from, Host& to) {
    auto& path = paths_[{from.index, to.index}];
    if (!path) path = std::make_unique<Path>(from, to);
    return *path;
}

const LinkOptions& Fabric::options(const Path& path) const {
    if (path.options) return *path.options;
    return &path.from == &path.to ? loopback_ : links_;
}

SteadyTime Fabric::arrival(Path& path, std::size_t bytes) {
    const LinkOptions& link = options(path);
    const SteadyTime now = clock_.now();
    if (chance(link.path_clog_probability)) {
        path.clogged_until =
            std::max(path.clogged_until, now) + around(link.path_clog_duration_mean);
        add_event("clogged", &path.from, &path.to);
    }
    SteadyTime departure = std::max(now, path.clogged_until);
    if (link.bytes_per_second > 0) {
        departure = std::max(departure, path.busy_until) + time_of(bytes, link.bytes_per_second);
        path.busy_until = departure;
    }
    return departure + link.one_way_delay_min +
           around(link.one_way_delay_mean - link.one_way_delay_min);
}

void Fabric::give_back(Path& path, std::size_t bytes) {
    const LinkOptions& link = options(path);
    if (link.bytes_per_second > 0) path.busy_until -= time_of(bytes, link.bytes_per_second);
}

/// A queue is worked off at the pace that the link has now; nothing in it comes later for that.
void Fabric::set_link(Path& path, const LinkOptions& options) {
    const SteadyTime now = clock_.now();
    const SteadyTime busy_until = path.busy_until;
    path.options = options;
    path.busy_until = std::min(busy_until, now);
    path.clogged_until = std::min(path.clogged_until, now);
    for (const auto& connection : connections())
        connection->on_new_options(path);
    path.busy_until = std::min(busy_until, path.busy_until);
}

void Fabric::add_host(Host& host) {
    hosts_.push_back(&host);
    by_ip_[host.ip] = &host;
    if (host.name != host.ip) add_name(host.name, host);
    // Whoever comes during a partition stands on nobody's side until the next one.
}

void Fabric::add_name(std::string name, Host& host) {
    by_name_[std::move(name)].push_back(&host);
}

Host* Fabric::host_at(const std::string& ip) const {
    const auto found = by_ip_.find(ip);
    return found == by_ip_.end() ? nullptr : found->second;
}

std::vector<Host*> Fabric::resolve(const std::string& name) const {
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? std::vector<Host*>() : found->second;
}

std::uint64_t Fabric::add_connection(Connection& connection) {
    connections_[++connections_made_] = &connection;
    return connections_made_;
}

std::vector<std::shared_ptr<Connection>> Fabric::connections() const {
    std::vector<std::shared_ptr<Connection>> all;
    all.reserve(connections_.size());
    for (const auto& [number, connection] : connections_)
        all.push_back(connection->shared_from_this());
    return all;
}

void Fabric::set_cut(Host& from, Host& to, bool cut) {
    Path& changed = path(from, to);
    if (changed.cut == cut) return;
    changed.cut = cut;
    add_event(cut ? "cut" : "healed", &from, &to);
    if (!changed.blocked()) unblocked(changed);
}

void Fabric::heal_all() {
    ++partition_generation_;
    add_event("all healed", nullptr);
    end_partition();
    for (const auto& [hosts, path] : paths_)
        set_cut(path->from, path->to, false);
}

void Fabric::unblocked(const Path& path) {
    for (const auto& connection : connections())
        connection->unblocked(path);
}

void Fabric::start_partitions(const PartitionOptions& options) {
    partitions_ = options;
    partition_tick(++partition_generation_);
}

void Fabric::partition_tick(std::uint64_t generation) {
    if (generation != partition_generation_) return;
    if (clock_.now() >= partition_stable_until_) {
        if (partitioned_ && chance(partitions_.unpartition_probability)) {
            end_partition();
            partition_stable_until_ = clock_.now() + partitions_.unpartition_stability;
        } else if (!partitioned_ && chance(partitions_.partition_probability)) {
            draw_partition();
            partition_stable_until_ = clock_.now() + partitions_.partition_stability;
        }
    }
    schedule(partitions_.tick, [this, generation] { partition_tick(generation); });
}

void Fabric::draw_partition() {
    const std::size_t count = hosts_.size();
    if (count < 2) return;
    std::vector<bool> apart(count, false);
    switch (partitions_.mode) {
        case PartitionMode::isolate_single:
            apart[random_.below(count)] = true;
            break;
        case PartitionMode::uniform_partition:
            for (std::size_t i = 0; i < count; ++i)
                apart[i] = random_.below(2) == 0;
            break;
        case PartitionMode::uniform_size:
            for (std::size_t left = 1 + random_.below(count - 1); left > 0;) {
                const std::size_t drawn = random_.below(count);
                if (apart[drawn]) continue;
                apart[drawn] = true;
                --left;
            }
            break;
    }
    partitioned_ = true;
    std::string names;
    for (std::size_t i = 0; i < count; ++i) {
        if (apart[i]) names += (names.empty() ? "" : " ") + hosts_[i]->name;
        for (std::size_t j = 0; j < count; ++j) {
            const bool lost = partitions_.symmetric ? apart[i] != apart[j] : apart[i] && !apart[j];
            if (lost) path(*hosts_[i], *hosts_[j]).partitioned = true;
        }
    }
    add_event("partition of", nullptr, nullptr, 0, 0, names);
}

void Fabric::end_partition() {
    if (!partitioned_) return;
    partitioned_ = false;
    add_event("partition ends", nullptr);
    for (const auto& [hosts, path] : paths_) {
        if (!std::exchange(path->partitioned, false)) continue;
        if (!path->blocked()) unblocked(*path);
    }
}

void Fabric::add_event(
    std::string_view what,
    const Host* from,
    const Host* to,
    std::uint64_t number,
    std::uint64_t bytes,
    std::string text
) {
    Trace::Event event;
    event.at = clock_.now() - SteadyTime();
    event.what = what;
    if (from != nullptr) event.from = from->name;
    if (to != nullptr) event.to = to->name;
    event.number = number;
    event.bytes = bytes;
    event.text = std::move(text);
    trace_.add(std::move(event));
}

std::string Fabric::waiting() const {
    std::string out;
    for (const Host* host : hosts_) {
        if (!host->up()) out += host->name + " is down\n";
        if (host->frozen) out += host->name + " is frozen\n";
        for (const auto& [port, listener] : host->listeners) {
            if (!listener->accepting) continue;
            out += fmt::format("{} accepts on {}\n", host->name, listener->local.to_string());
        }
        for (const auto& [port, datagram] : host->datagrams) {
            if (!datagram->receiving) continue;
            out += fmt::format("{} receives on {}\n", host->name, datagram->local.to_string());
        }
    }
    for (const auto& [hosts, path] : paths_) {
        if (!path->blocked()) continue;
        out += fmt::format("{} -> {} is cut\n", path->from.name, path->to.name);
    }
    for (const std::string& dial : dials_)
        out += dial + "\n";
    for (const auto& [number, connection] : connections_) {
        for (const std::size_t side : {Connection::kDialler, Connection::kAcceptor}) {
            const auto& end = connection->end(side);
            const std::string peer = connection->end(1 - side).host.name;
            if (end.reading)
                out += fmt::format("{} reads from {} #{}\n", end.host.name, peer, number);
            if (end.writing)
                out += fmt::format("{} writes to {} #{}\n", end.host.name, peer, number);
        }
    }
    return out;
}

}  // namespace skywire::sim::detail
