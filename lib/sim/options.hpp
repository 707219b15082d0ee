#pragma once

#include "base/clock.hpp"
#include "base/log.hpp"

#include <cstddef>
#include <cstdint>

/// What a simulated world may be told to be like. Probabilities lie in [0, 1].
namespace skywire::sim {

/// One direction between two nodes. Named after the options of TigerBeetle's packet simulator.
struct LinkOptions {
    /// Delays are one_way_delay_min plus an exponentially distributed rest, whose mean makes the
    /// whole come to one_way_delay_mean: equal values are a delay without jitter. Datagrams
    /// overtake each other by it, the bytes of a stream do not.
    Duration one_way_delay_min = std::chrono::milliseconds(1);
    Duration one_way_delay_mean = std::chrono::milliseconds(2);

    /// A lost datagram is gone; a lost segment of a stream comes after retransmit_min and more, and
    /// holds up all that follows it.
    double packet_loss_probability = 0;
    /// A datagram comes twice. Streams know no duplicates.
    double packet_replay_probability = 0;

    /// Each packet may clog its direction: what is sent meanwhile waits until that is over.
    double path_clog_probability = 0;
    Duration path_clog_duration_mean = std::chrono::milliseconds(500);

    /// Bandwidth, shared by all that takes this direction; 0 = without limit.
    std::uint64_t bytes_per_second = 0;

    /// What one stream may hold in this direction, written but not read by the other end: both
    /// kernels' buffers in one. The writer waits while it is full.
    std::size_t stream_bytes_max = 256 * 1024;
    /// A write travels in segments of this many bytes at most.
    std::size_t segment_bytes_max = 16 * 1024;
    /// So many segments, and so many reads, are shorter than they could be, by any length.
    double fragment_probability = 0.1;

    Duration retransmit_min = std::chrono::milliseconds(200);
    /// A sender whose bytes are not acknowledged for so long fails with asio::error::timed_out
    /// (Linux: 15 retransmissions).
    Duration give_up_after = std::chrono::seconds(924);

    /// A bad day: delays of 5 ms to seconds, losses, duplicates, clogs, small pieces.
    static LinkOptions rough();
};

/// Which direction of a link, seen from the first node that is named.
enum class Direction { both, forward, backward };

/// How a node goes.
enum class Death {
    /// Power loss: nobody is told. Bytes to it vanish, dials of it hang.
    silent,
    /// Its connections are reset; dials are refused.
    reset,
    /// Its process is killed and the kernel tidies up: connections end with FIN, or with a reset
    /// where bytes were unread; dials are refused.
    process,
};

enum class PartitionMode {
    /// Two groups; the size of one is drawn first, then who is in it.
    uniform_size,
    /// Each node draws its group.
    uniform_partition,
    /// One node against the rest.
    isolate_single,
};

/// Partitions that come and go by themselves, until World::heal.
struct PartitionOptions {
    PartitionMode mode = PartitionMode::uniform_size;
    /// False: only what goes from the one group to the other is lost.
    bool symmetric = true;
    /// Drawn every `tick`.
    double partition_probability = 0.05;
    double unpartition_probability = 0.1;
    /// How long a partition, and the time without one, lasts at least.
    Duration partition_stability = std::chrono::seconds(2);
    Duration unpartition_stability = std::chrono::seconds(2);
    Duration tick = std::chrono::seconds(1);
};

struct WorldOptions {
    /// Of all links that have no options of their own; set_links changes it.
    LinkOptions links;
    /// Virtual time after which `run` gives up on its task.
    Duration run_limit = std::chrono::hours(1);
    /// The last so many events are kept.
    std::size_t trace_events_max = 4096;
    /// Log lines of the nodes from here on go into the trace.
    log::Level log_level = log::Level::debug;
};

}  // namespace skywire::sim
