#include "services/route_finder/request.hpp"

#include "dmsg/detail/json_reader.hpp"
#include "transport/entry.hpp"

#include <charconv>
#include <optional>

#include <fmt/format.h>

namespace skywire::route_finder {
namespace {

using dmsg::detail::JsonArray;
using dmsg::detail::JsonObject;
using dmsg::detail::JsonReader;

constexpr std::string_view kRequestType = "rfclient.FindRoutesRequest";
constexpr std::string_view kEdgesField = "FindRoutesRequest.Edges";
constexpr std::string_view kOptsField = "FindRoutesRequest.Opts";

/// The kind of value that begins so.
std::string_view kind_of(char first) {
    switch (first) {
        case '{':
            return "object";
        case '[':
            return "array";
        case '"':
            return "string";
        case 't':
        case 'f':
            return "bool";
        default:
            return "number";
    }
}

/// Reads a question; keeps the first complaint and goes on, as the network's decoder does, but for
/// a key that is none, which ends it.
class Reader {
 public:
    Reader(std::string_view body, Question& into) : body_(body), reader_(body), into_(into) {}

    bool read(Refused& refused) {
        read_request();
        // Only white space may follow.
        if (reader_.ok() && reader_.position() != body_.size()) syntax_failed_ = true;
        if (!reader_.ok() || syntax_failed_) {
            const auto parsed = transport::parse_body(body_);
            refused = {Refusal::bad_json, parsed ? "exceeded max depth" : parsed.error().message()};
            return false;
        }
        const auto& complaint = fatal_ ? fatal_ : complaint_;
        if (complaint) refused = *complaint;
        return !complaint;
    }

 private:
    char next() {
        const std::size_t at = reader_.position();
        return at < body_.size() ? body_[at] : '\0';
    }

    /// The value that comes next is of another kind than `type`: says so and passes over it.
    void mismatch(std::string_view into, std::string_view type) {
        const std::size_t begin = reader_.position();
        std::string kind(kind_of(next()));
        if (!reader_.skip()) return;
        const bool of_number = type.starts_with("uint") && kind == "number";
        if (of_number)
            kind += ' ' + std::string(body_.substr(begin, reader_.end() - begin)).substr(0, 64);
        complain(
            {Refusal::wrong_type,
             fmt::format("json: cannot unmarshal {} into {} of type {}", kind, into, type)}
        );
    }

    void complain(Refused refused) {
        if (!complaint_) complaint_ = std::move(refused);
    }

    void read_request() {
        if (reader_.null()) return;
        if (next() != '{') {
            mismatch("Go value", kRequestType);
            return;
        }
        JsonObject request(reader_);
        while (request.next()) {
            if (request.named("Edges")) {
                read_edges();
            } else if (request.named("Opts")) {
                read_options();
            } else {
                reader_.skip();
            }
        }
    }

    void read_edges() {
        into_.pairs.clear();
        if (reader_.null()) return;
        if (next() != '[') {
            mismatch(fmt::format("Go struct field {}", kEdgesField), "[]routing.PathEdges");
            return;
        }
        JsonArray edges(reader_);
        while (edges.next())
            read_pair();
    }

    void read_pair() {
        if (reader_.null()) {
            add({});
            return;
        }
        if (next() != '"') {
            mismatch(fmt::format("Go struct field {}", kEdgesField), "routing.PathEdges");
            return;
        }
        std::string text;
        if (!reader_.string(text) || fatal_) return;
        constexpr std::size_t kKey = crypto::PublicKey::kTextSize;
        if (text.size() <= kKey) {
            refuse_key(crypto::make_error_code(crypto::errc::invalid_public_key).message());
            return;
        }
        const std::string_view view = text;
        const auto from = crypto::PublicKey::from_text(view.substr(0, kKey));
        if (!from) return refuse_key(from.error().code().message());
        const auto to = crypto::PublicKey::from_text(view.substr(kKey + 1));
        if (!to) return refuse_key(to.error().code().message());
        add({*from, *to});
    }

    void refuse_key(std::string message) { fatal_ = Refused{Refusal::bad_key, std::move(message)}; }

    void add(const Pair& pair) {
        if (into_.pairs.size() < kPairsMax) {
            into_.pairs.push_back(pair);
            return;
        }
        complain({Refusal::too_many_pairs, fmt::format("more than {} pairs", kPairsMax)});
    }

    void read_options() {
        if (reader_.null()) {
            into_.bounds = {};
            return;
        }
        if (next() != '{') {
            mismatch(fmt::format("Go struct field {}", kOptsField), "rfclient.RouteOptions");
            return;
        }
        JsonObject options(reader_);
        while (options.next()) {
            if (options.named("MinHops")) {
                read_number("MinHops", into_.bounds.hops_min);
            } else if (options.named("MaxHops")) {
                read_number("MaxHops", into_.bounds.hops_max);
            } else if (options.named("NumRoutes")) {
                read_number("NumRoutes", into_.bounds.routes_max);
                if (into_.bounds.routes_max == 0) into_.bounds.routes_max = Bounds::kRoutesDefault;
            } else {
                reader_.skip();
            }
        }
    }

    void read_number(std::string_view name, unsigned& into) {
        if (reader_.null()) return;
        const std::size_t begin = reader_.position();
        JsonReader ahead(body_.substr(begin));
        if (ahead.skip()) {
            const std::string_view text = body_.substr(begin, ahead.end());
            std::uint16_t value = 0;
            const auto [end, error] =
                std::from_chars(text.data(), text.data() + text.size(), value);
            if (error == std::errc() && end == text.data() + text.size()) {
                into = value;
                reader_.skip();
                return;
            }
        }
        mismatch(fmt::format("Go struct field RouteOptions.Opts.{}", name), "uint16");
    }

    std::string_view body_;
    JsonReader reader_;
    Question& into_;
    std::optional<Refused> complaint_;
    std::optional<Refused> fatal_;
    bool syntax_failed_ = false;
};

}  // namespace

std::string_view reason(Refusal refusal) noexcept {
    switch (refusal) {
        case Refusal::bad_json:
            return "bad_json";
        case Refusal::wrong_type:
            return "wrong_type";
        case Refusal::bad_key:
            return "bad_key";
        case Refusal::too_many_pairs:
            return "too_many_pairs";
    }
    return "bad_json";
}

bool read_question(std::string_view body, Question& into, Refused& refused) {
    return Reader(body, into).read(refused);
}

}  // namespace skywire::route_finder
