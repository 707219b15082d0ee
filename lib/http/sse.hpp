#pragma once

#include "http/message.hpp"

#include <functional>
#include <string>
#include <string_view>

/// Server-sent events (the HTML standard's text/event-stream): an endless body of small texts.
namespace skywire::http {

struct ServerEvent {
    /// What the browser dispatches on; empty = "message".
    std::string event;
    /// Any text; line ends cut it into several data lines, which the reader joins again.
    std::string data;
    /// What a reader sends back as Last-Event-ID after a break; empty = none.
    std::string id;
};

/// The event as it goes on the wire, with the empty line behind. Line ends in `event` and `id`
/// become blanks.
std::string format_event(const ServerEvent& event);

/// A line that readers skip: keeps the connection alive through proxies.
std::string format_comment(std::string_view text);

/// A 200 of text/event-stream whose body `events` writes.
Response event_stream(std::function<Task<>(BodyWriter&)> events);

}  // namespace skywire::http
