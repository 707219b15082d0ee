#include "services/config_bootstrapper/input_file.hpp"

#include "base/json.hpp"

#include <filesystem>
#include <fstream>
#include <sstream>

#include <fmt/format.h>

namespace skywire::config_bootstrapper {
namespace {

constexpr std::uintmax_t kFileBytesMax = 1024 * 1024;

Result<std::vector<std::string>> texts(std::string_view name, const json::value& value) {
    std::vector<std::string> list;
    if (value.is_null()) return list;
    const auto refused = [&] {
        return fail(errc::malformed, fmt::format("{} is no list of text", name));
    };
    if (!value.is_array()) return refused();
    list.reserve(value.as_array().size());
    for (const json::value& element : value.as_array()) {
        if (!element.is_string()) return refused();
        list.emplace_back(element.as_string());
    }
    return list;
}

Result<std::vector<crypto::PublicKey>> keys(std::string_view name, const json::value& value) {
    const auto list = texts(name, value);
    if (!list) return list.error();
    std::vector<crypto::PublicKey> keys;
    keys.reserve(list->size());
    for (const std::string& text : *list) {
        const auto key = crypto::PublicKey::from_text_not_null(text);
        if (!key) {
            return fail(
                errc::malformed,
                fmt::format("{}: {}: {}", name, quote_peer_text(text), key.error().message())
            );
        }
        keys.push_back(*key);
    }
    return keys;
}

/// Takes a list over, or hands its error on.
template <class T>
Result<> take(Result<std::vector<T>> list, std::vector<T>& into) {
    if (!list) return list.error();
    into = std::move(*list);
    return {};
}

}  // namespace

Result<> read_input(std::string_view text, Document& into) {
    const auto parsed = parse_json(text);
    if (!parsed) return parsed.error();
    if (!parsed->is_object()) return fail(errc::malformed, "not a JSON object");
    for (const auto& [name, value] : parsed->as_object()) {
        Result<> taken;
        if (name == "stun_servers") taken = take(texts(name, value), into.stun_servers);
        if (name == "route_setup_nodes") taken = take(keys(name, value), into.route_setup_nodes);
        if (name == "survey_whitelist") taken = take(keys(name, value), into.survey_whitelist);
        if (name == "transport_setup") taken = take(keys(name, value), into.transport_setup);
        if (!taken) return taken.error();
    }
    return {};
}

Result<> read_input_file(const std::string& path, Document& into) {
    std::error_code error;
    if (!std::filesystem::exists(path, error)) return fail(errc::not_found, path + " is not there");
    const auto size = std::filesystem::file_size(path, error);
    if (error) return fail(errc::unavailable, path + ": " + error.message());
    if (size > kFileBytesMax) return fail(errc::out_of_range, path + " is larger than 1 MiB");
    std::ifstream in(path, std::ios::binary);
    std::ostringstream text;
    text << in.rdbuf();
    if (!in) return fail(errc::unavailable, path + " cannot be read");
    if (const auto taken = read_input(text.str(), into); !taken) return taken.error().within(path);
    return {};
}

}  // namespace skywire::config_bootstrapper
