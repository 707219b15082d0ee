#pragma once

#include "base/random.hpp"
#include "net/task.hpp"
#include "sim/options.hpp"
#include "sim/trace.hpp"

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace skywire::sim::detail {

class Connection;
class Host;

/// One direction between two hosts.
struct Path {
    Path(Host& from_in, Host& to_in) : from(from_in), to(to_in) {}

    bool blocked() const noexcept { return cut || partitioned; }

    Host& from;
    Host& to;
    /// Of its own; else the world's default.
    std::optional<LinkOptions> options;
    bool cut = false;
    bool partitioned = false;
    /// Until when its bandwidth is used up, and until when it is clogged.
    SteadyTime busy_until{};
    SteadyTime clogged_until{};
};

/// What all hosts of a world share: the paths between them, what is on the way, chance, the trace.
/// Nothing in it belongs to the event loop, so that it can outlive it.
class Fabric {
 public:
    Fabric(std::uint64_t seed, ManualClock& clock, Executor loop, const WorldOptions& options);

    ManualClock& clock() noexcept { return clock_; }
    const Executor& loop() const noexcept { return loop_; }
    Trace& trace() noexcept { return trace_; }
    Random& random() noexcept { return random_; }

    /// Runs `work` once `after` has passed and everything ready then has run.
    void schedule(Duration after, std::function<void()> work);
    SteadyTime next_event() const;
    void run_due();
    /// From here on nothing is kept that the event loop would have to outlive.
    void shut_down();

    bool chance(double probability);
    /// Exponentially distributed.
    Duration around(Duration mean);

    Path& path(Host& from, Host& to);
    const LinkOptions& options(const Path& path) const;
    void set_links(const LinkOptions& options) { links_ = options; }
    void set_link(Path& path, const LinkOptions& options);

    /// When bytes that leave now arrive, losses aside.
    SteadyTime arrival(Path& path, std::size_t bytes);
    /// So many bytes that waited for the path's bandwidth want none any more.
    void give_back(Path& path, std::size_t bytes);

    void add_host(Host& host);
    void add_name(std::string name, Host& host);
    const std::vector<Host*>& hosts() const noexcept { return hosts_; }
    /// By IP address; null: nobody has it.
    Host* host_at(const std::string& ip) const;
    /// By name; empty: unknown.
    std::vector<Host*> resolve(const std::string& name) const;

    std::uint64_t add_connection(Connection& connection);
    void remove_connection(std::uint64_t number) { connections_.erase(number); }
    /// All of them, oldest first, kept alive while the caller changes them.
    std::vector<std::shared_ptr<Connection>> connections() const;

    void set_cut(Host& from, Host& to, bool cut);
    void heal_all();
    void start_partitions(const PartitionOptions& options);

    void add_event(
        std::string_view what,
        const Host* from,
        const Host* to = nullptr,
        std::uint64_t number = 0,
        std::uint64_t bytes = 0,
        std::string text = {}
    );

    /// What dials are under way, for the report on who waits.
    std::list<std::string>& dials() noexcept { return dials_; }
    std::string waiting() const;

 private:
    using When = std::pair<SteadyTime, std::uint64_t>;

    /// Lets the streams of a path go on where it is no longer blocked.
    void unblocked(const Path& path);
    void partition_tick(std::uint64_t generation);
    void draw_partition();
    void end_partition();

    ManualClock& clock_;
    Executor loop_;
    SeededRandom random_;
    Trace trace_;
    LinkOptions links_;
    LinkOptions loopback_;

    std::map<When, std::function<void()>> events_;
    std::uint64_t events_made_ = 0;
    bool shut_down_ = false;

    std::vector<Host*> hosts_;
    std::map<std::string, Host*> by_ip_;
    std::map<std::string, std::vector<Host*>> by_name_;
    std::map<std::pair<std::size_t, std::size_t>, std::unique_ptr<Path>> paths_;
    std::map<std::uint64_t, Connection*> connections_;
    std::uint64_t connections_made_ = 0;
    std::list<std::string> dials_;

    PartitionOptions partitions_;
    /// Counts starts and ends: a tick of an earlier start does nothing.
    std::uint64_t partition_generation_ = 0;
    bool partitioned_ = false;
    SteadyTime partition_stable_until_{};
};

}  // namespace skywire::sim::detail
