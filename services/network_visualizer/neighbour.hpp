#pragma once

#include "net/context.hpp"
#include "services/network_visualizer/copy.hpp"
#include "transport/view.hpp"

#include <map>
#include <memory>

namespace skywire::network_visualizer {

/// Keeps the copy of the transports current from a transport-discovery of the same process, which
/// tells of every change; what has changed is written anew at most once a second. Used on the
/// service's loop.
class Neighbour {
 public:
    /// `view` and the copy outlive it.
    Neighbour(const net::Context& context, Copy& copy, transport::TransportView& view);

    /// Until it is cancelled.
    Task<> run();
    /// Takes no more news.
    void close() { following_.reset(); }

 private:
    void take(const transport::TransportView::Update& update);
    Task<> write();

    net::Context context_;
    Copy& copy_;
    transport::TransportView& view_;
    std::map<transport::TransportId, transport::Entry> entries_;
    bool changed_ = false;
    std::unique_ptr<transport::TransportView::Following> following_;
};

}  // namespace skywire::network_visualizer
