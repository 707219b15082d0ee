#pragma once

#include "net/task.hpp"
#include "transport/entry.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace skywire::transport {

/// The transports that a transport-discovery of this process lists, for whoever computes with them
/// (the route-finder): one list at first, then its changes. One object for a process, shared by the
/// types of services; it outlives the services. Safe to call from any thread; who follows is told
/// on a loop of its own.
class TransportView {
 public:
    /// What has changed. Entries are whole; applying an update twice does no harm.
    struct Update {
        /// `put` is the whole list and replaces all that was known: the first update, one after the
        /// discovery has been restarted, and one after the follower had fallen behind.
        bool complete = false;
        /// Rises with every change of one publication; each update tells the number it leads to.
        std::uint64_t version = 0;
        std::vector<Entry> put;
        std::vector<TransportId> removed;
    };
    using OnUpdate = std::function<void(const Update&)>;

    /// Updates that one follower has not been told yet; beyond it they are dropped, and it gets the
    /// whole list anew once it has caught up.
    static constexpr std::size_t kPendingMax = 64;

    TransportView();
    ~TransportView();
    TransportView(const TransportView&) = delete;
    TransportView& operator=(const TransportView&) = delete;

    /// Ends what it stands for when it dies; to be destroyed on the loop that was named, or after
    /// that loop has stopped.
    class Following {
     public:
        virtual ~Following() = default;
    };

    /// The list's owner; used on the owner's loop, dies there.
    class Publication {
     public:
        virtual ~Publication() = default;
        /// Changes of one turn of the loop reach the followers as one update.
        virtual void put(Entry entry) = 0;
        virtual void remove(const TransportId& id) = 0;
        virtual std::uint64_t version() const noexcept = 0;
    };

    /// Calls `on_update` on `loop`: soon with the whole list where one is published, later with its
    /// changes. `label` is that of the discovery's block; "": the first one there is.
    std::unique_ptr<Following> follow(std::string label, Executor loop, OnUpdate on_update);

    /// Publishes a list under the label of its block. `snapshot` is called on `loop`, and not any
    /// more once the publication is gone. The same label published again replaces the former.
    std::unique_ptr<Publication> publish(
        std::string label, Executor loop, std::function<std::vector<Entry>()> snapshot
    );

    /// Whether somebody publishes under this label; "": anybody.
    bool published(std::string_view label) const;

 private:
    struct State;
    class Follower;
    class Source;
    class SourceHandle;
    class FollowerHandle;

    std::shared_ptr<State> state_;
};

}  // namespace skywire::transport
