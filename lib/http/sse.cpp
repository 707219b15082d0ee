#include "http/sse.hpp"

#include <algorithm>

namespace skywire::http {
namespace {

void append_line(std::string& out, std::string_view name, std::string_view value) {
    const auto from = static_cast<std::ptrdiff_t>(out.append(name).append(": ").size());
    out.append(value);
    const auto breaks = [](char c) { return c == '\r' || c == '\n' || c == '\0'; };
    std::replace_if(out.begin() + from, out.end(), breaks, ' ');
    out += '\n';
}

}  // namespace

std::string format_event(const ServerEvent& event) {
    std::string out;
    out.reserve(event.data.size() + event.event.size() + event.id.size() + 32);
    if (!event.event.empty()) append_line(out, "event", event.event);
    if (!event.id.empty()) append_line(out, "id", event.id);
    std::string_view rest = event.data;
    for (bool more = true; more;) {
        // A line may end in \r\n, \n or \r.
        const auto end = rest.find_first_of("\r\n");
        append_line(out, "data", rest.substr(0, end));
        more = end != std::string_view::npos;
        if (more) rest.remove_prefix(end + (rest.substr(end, 2) == "\r\n" ? 2 : 1));
    }
    out += '\n';
    return out;
}

std::string format_comment(std::string_view text) {
    std::string out;
    append_line(out, "", text);
    out += '\n';
    return out;
}

Response event_stream(std::function<Task<>(BodyWriter&)> events) {
    Response response;
    response.fields.add("Content-Type", "text/event-stream");
    response.fields.add("Cache-Control", "no-cache");
    response.stream = std::move(events);
    return response;
}

}  // namespace skywire::http
