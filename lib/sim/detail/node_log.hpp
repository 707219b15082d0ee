#pragma once

#include "base/log.hpp"
#include "sim/detail/fabric.hpp"
#include "sim/detail/host.hpp"

#include <string>

namespace skywire::sim::detail {

/// A host's log lines, as events of the trace.
class NodeLog final : public log::Sink {
 public:
    explicit NodeLog(Host& host) : host_(host) {}

    void write(
        log::Level level,
        std::string_view,
        std::string_view event,
        const log::Field* fields,
        std::size_t field_count
    ) override {
        std::string line(log::level_name(level));
        line.append(" ").append(event);
        for (std::size_t i = 0; i < field_count; ++i)
            line.append(" ").append(fields[i].key).append("=").append(fields[i].value);
        host_.fabric.add_event("logs", &host_, nullptr, 0, 0, std::move(line));
    }

 private:
    Host& host_;
};

}  // namespace skywire::sim::detail
