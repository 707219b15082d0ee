#include "services/common/uptime_answers.hpp"

#include "base/json.hpp"
#include "services/common/json_style.hpp"

#include <utility>

#include <fmt/format.h>

namespace skywire::services {
namespace {

using http::Method;
using http::Request;
using http::Response;

std::optional<int> read_version(std::string_view text, UptimeRefusal& refusal) {
    if (text.empty() || text == "v1") return 1;
    if (text == "v2") return 2;
    if (text == "v3") return 3;
    std::string message = "unknown version: ";
    message += text.substr(0, 32);
    refusal = {UptimeRefusal::Why::unknown_version, std::move(message)};
    return std::nullopt;
}

std::string text_member(const json::object& object, std::string_view name) {
    const json::value* value = object.if_contains(name);
    if (value == nullptr || !value->is_string()) return {};
    return std::string(value->get_string());
}

/// False where it is something else than a list of texts.
bool add_names(const json::object& object, std::string_view name, NameSet& into) {
    const json::value* value = object.if_contains(name);
    if (value == nullptr || value->is_null()) return true;
    if (!value->is_array()) return false;
    for (const json::value& each : value->get_array()) {
        if (!each.is_string()) return false;
        into.merge(names_of(each.get_string(), ';'));
    }
    return true;
}

template <class Text>
void append_object(std::string& out, std::string_view name, const Days& days, const Text& text) {
    out += fmt::format(R"(,"{}":{{)", name);
    bool first = true;
    for (const auto& [date, timeline] : days) {
        out += fmt::format(R"({}"{}":"{}")", first ? "" : ",", date_text(date), text(timeline));
        first = false;
    }
    out += '}';
}

}  // namespace

std::optional<UptimeQuestion> question_of_query(const Request& request, UptimeRefusal& refusal) {
    UptimeQuestion question;
    const auto version = read_version(request.query("v").value_or(""), refusal);
    if (!version) return std::nullopt;
    question.version = *version;
    question.keys = names_of(request.query("visors").value_or(""), ';');
    question.ids = names_of(request.query("tp").value_or(""), ';');
    question.type = request.query("type").value_or("");
    question.edges = request.query("edges") == "true";
    return question;
}

std::optional<UptimeQuestion> question_of_body(std::string_view body, UptimeRefusal& refusal) {
    const auto bad = [&refusal] {
        refusal = {UptimeRefusal::Why::bad_body, "invalid JSON body"};
        return std::nullopt;
    };
    const auto parsed = parse_json(body);
    if (!parsed || !parsed->is_object()) return bad();
    const json::object& object = parsed->get_object();
    UptimeQuestion question;
    if (!add_names(object, "pks", question.keys) || !add_names(object, "ids", question.ids))
        return bad();
    const auto version = read_version(text_member(object, "v"), refusal);
    if (!version) return std::nullopt;
    question.version = *version;
    question.type = text_member(object, "type");
    const json::value* edges = object.if_contains("edges");
    question.edges = edges != nullptr && edges->is_bool() && edges->get_bool();
    return question;
}

void append_days(std::string& out, const Days& days, int version) {
    if (version < 2 || days.empty()) return;
    append_object(out, "daily", days, [](const Timeline& day) { return day.percentage(); });
    if (version < 3) return;
    append_object(out, "timeline", days, [](const Timeline& day) { return day.to_text(); });
}

void append_uptime(std::string& out, const VisorUptime& visor, bool on, int version) {
    out += fmt::format(R"({{"pk":"{}","on":{})", visor.key, on);
    if (version >= 2 && !visor.version.empty()) {
        out += R"(,"version":)";
        append_string(out, visor.version, JsonStyle::c);
    }
    append_days(out, visor.days, version);
    out += '}';
}

UptimeRoutes::UptimeRoutes(VisorUptimes& uptimes, Hooks hooks)
    : uptimes_(uptimes), hooks_(std::move(hooks)) {}

void UptimeRoutes::add_to(http::Router& router) {
    router.on(Method::get, "/uptimes", [this](Request& request) {
        UptimeRefusal refusal;
        auto question = question_of_query(request, refusal);
        return answer(std::move(question), std::move(refusal));
    });
    router.on(Method::post, "/uptimes", [this](Request& request) {
        UptimeRefusal refusal;
        auto question = question_of_body(request.body, refusal);
        return answer(std::move(question), std::move(refusal));
    });
}

Task<Response> UptimeRoutes::answer(std::optional<UptimeQuestion> question, UptimeRefusal refusal) {
    if (!question) {
        hooks_.refused(refusal.why);
        co_return error_response(400, refusal.text, JsonStyle::c);
    }
    const auto visors = co_await uptimes_.visors();
    if (!visors) co_return hooks_.store_failed(visors.error());
    std::string body = "[";
    for (const VisorUptime& visor : **visors) {
        const std::string key = visor.key.to_text();
        if (!question->keys.empty() && !question->keys.contains(key)) continue;
        if (body.size() > 1) body += ',';
        append_uptime(body, visor, hooks_.on(visor), question->version);
    }
    body += ']';
    co_return json_response(200, std::move(body), JsonStyle::c);
}

}  // namespace skywire::services
