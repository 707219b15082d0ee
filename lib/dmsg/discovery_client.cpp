#include "dmsg/discovery_client.hpp"

#include "base/json.hpp"
#include "dmsg/error.hpp"

#include <utility>

#include <boost/json/object.hpp>
#include <fmt/format.h>
#include <time.h>

namespace skywire::dmsg {
namespace {

constexpr std::string_view kPrefix = "/dmsg-discovery/";
/// 512 entries of half a kilobyte, with room.
constexpr std::size_t kAnswerBytesMax = 4 * 1024 * 1024;
/// One that names 1500 servers. Many are kept by those who ask.
constexpr std::size_t kEntryBytesMax = 128 * 1024;
constexpr std::chrono::seconds kPauseOfFirst{10};

/// True where the discovery itself spoke, and not the way to it.
bool is_answer(const Error& error) {
    return error.code().category() == dmsg_category() && error != make_error_code(errc::unexpected);
}

/// The error in an answer other than 200: {"message":"...","code":N}.
Error error_of(const http::Response& response) {
    const std::string_view body = response.body_view();
    if (const auto parsed = parse_json(body); parsed && parsed->is_object()) {
        const auto* const message = parsed->get_object().if_contains("message");
        if (message != nullptr && message->is_string()) {
            const std::string_view text = message->get_string();
            const auto code = errc_of_text(text);
            if (code && *code != errc::unexpected) return make_error_code(*code);
            return fail(
                skywire::errc::unavailable,
                fmt::format("status {}: {}", response.status, quote_peer_text(text))
            );
        }
    }
    return fail(
        skywire::errc::unavailable,
        fmt::format("status {}: {}", response.status, quote_peer_text(body))
    );
}

/// What a Date field says: "Tue, 14 Nov 2023 22:13:20 GMT".
std::optional<WallTime> time_of(std::string_view date) {
    const std::string text(date);
    tm parts{};
    const char* const end = ::strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
    if (end == nullptr || *end != '\0') return std::nullopt;
    return WallTime(std::chrono::seconds(::timegm(&parts)));
}

class HttpDiscovery final : public DiscoveryClient {
 public:
    HttpDiscovery(const net::Context& context, http::Client& client, http::Url url)
        : clock_(context.clock),
          client_(client),
          url_(std::move(url)),
          unreadable_(context.metrics.counter(
              "dmsg_discovery_client_unreadable_total",
              "Entries handed out by a discovery that could not be read, and were left out."
          )) {
        if (url_.target == "/") url_.target.clear();
    }

    Task<Result<Entry>> entry(crypto::PublicKey key) override {
        const auto answer = co_await ask(http::Method::get, "entry/" + key.to_text(), {});
        if (!answer) co_return answer.error();
        const auto parsed = ReceivedEntry::parse(*answer);
        if (!parsed) co_return unreadable(parsed.error());
        if (parsed->entry().static_key != key) {
            co_return unreadable(fail(
                skywire::errc::malformed,
                fmt::format("the entry of {} for {}", parsed->entry().static_key, key)
            ));
        }
        co_return parsed->entry();
    }

    Task<Result<std::vector<Entry>>> available_servers() override {
        return servers("available_servers");
    }

    Task<Result<std::vector<Entry>>> all_servers() override { return servers("all_servers"); }

    Task<Result<>> post(Entry entry) override {
        const auto answer = co_await ask(http::Method::post, "entry/", to_json(entry));
        if (!answer) co_return answer.error();
        co_return Result<>();
    }

    Task<Result<>> erase(Entry entry) override {
        const auto answer = co_await ask(http::Method::delete_, "entry", to_json(entry));
        if (!answer) co_return answer.error();
        co_return Result<>();
    }

    std::optional<Duration> clock_ahead() const override { return clock_ahead_; }

 private:
    Task<Result<std::string>> ask(http::Method method, std::string path, std::string body) {
        http::ClientRequest request;
        request.method = method;
        request.address = url_.address;
        request.target = fmt::format("{}{}{}", url_.target, kPrefix, path);
        request.response_bytes_max = path.starts_with("entry") ? kEntryBytesMax : kAnswerBytesMax;
        if (!body.empty()) request.fields.set("Content-Type", "application/json");
        request.body = std::move(body);
        const std::string what =
            fmt::format("discovery {}: {} {}", url_.address.to_string(), method_name(method), path);
        auto response = co_await client_.send(std::move(request));
        if (!response) co_return response.error().within(what);
        const auto date = time_of(response->fields.get("Date").value_or(""));
        if (date) clock_ahead_ = *date - clock_.wall();
        if (response->status != 200) {
            const Error error = error_of(*response);
            // The sentence of a refusal is the network's; what was asked is for the reader.
            co_return is_answer(error) ? error : error.within(what);
        }
        co_return std::string(response->body_view());
    }

    Task<Result<std::vector<Entry>>> servers(std::string list) {
        std::vector<Entry> found;
        const auto answer = co_await ask(http::Method::get, list, {});
        if (!answer) {
            if (answer.error() == make_error_code(errc::no_servers)) co_return found;
            co_return answer.error();
        }
        detail::JsonReader reader(*answer);
        detail::JsonArray array(reader);
        while (array.next()) {
            const std::size_t begin = reader.position();
            if (!reader.skip()) break;
            const auto parsed = ReceivedEntry::parse(answer->substr(begin, reader.end() - begin));
            if (parsed && parsed->entry().server) {
                found.push_back(parsed->entry());
            } else {
                unreadable_.add();
            }
        }
        if (!reader.ok()) co_return unreadable(reader.error());
        co_return found;
    }

    Error unreadable(const Error& error) {
        unreadable_.add();
        return fail(
            skywire::errc::unavailable,
            fmt::format("discovery {}: {}", url_.address.to_string(), error.message())
        );
    }

    Clock& clock_;
    http::Client& client_;
    http::Url url_;
    std::optional<Duration> clock_ahead_;
    Counter& unreadable_;
};

class FallbackDiscovery final : public DiscoveryClient {
 public:
    FallbackDiscovery(
        const net::Context& context,
        std::unique_ptr<DiscoveryClient> first,
        std::unique_ptr<DiscoveryClient> second
    )
        : clock_(context.clock),
          first_(std::move(first)),
          second_(std::move(second)),
          fallbacks_(context.metrics.counter(
              "dmsg_discovery_client_fallback_total",
              "Times the second way to the discovery was taken since the first one failed."
          )) {}

    Task<Result<Entry>> entry(crypto::PublicKey key) override {
        return either<Entry>([key](DiscoveryClient& client) { return client.entry(key); });
    }
    Task<Result<std::vector<Entry>>> available_servers() override {
        return either<std::vector<Entry>>([](DiscoveryClient& client) {
            return client.available_servers();
        });
    }
    Task<Result<std::vector<Entry>>> all_servers() override {
        return either<std::vector<Entry>>([](DiscoveryClient& client) {
            return client.all_servers();
        });
    }
    Task<Result<>> post(Entry entry) override {
        return either<void>([entry](DiscoveryClient& client) { return client.post(entry); });
    }
    Task<Result<>> erase(Entry entry) override {
        return either<void>([entry](DiscoveryClient& client) { return client.erase(entry); });
    }
    std::optional<Duration> clock_ahead() const override {
        return clock_.now() >= first_again_ ? first_->clock_ahead() : second_->clock_ahead();
    }

 private:
    template <class T>
    Task<Result<T>> either(std::function<Task<Result<T>>(DiscoveryClient&)> ask) {
        if (clock_.now() >= first_again_) {
            auto answer = co_await ask(*first_);
            if (answer || is_answer(answer.error())) co_return answer;
            if (answer.error() == make_error_code(skywire::errc::cancelled)) co_return answer;
            first_again_ = clock_.now() + kPauseOfFirst;
            fallbacks_.add();
        }
        co_return co_await ask(*second_);
    }

    Clock& clock_;
    std::unique_ptr<DiscoveryClient> first_;
    std::unique_ptr<DiscoveryClient> second_;
    Counter& fallbacks_;
    SteadyTime first_again_{};
};

class StaticDiscovery final : public DiscoveryClient {
 public:
    explicit StaticDiscovery(std::vector<Entry> servers) : servers_(std::move(servers)) {}

    Task<Result<Entry>> entry(crypto::PublicKey key) override {
        std::vector<crypto::PublicKey> keys;
        for (const Entry& server : servers_) {
            if (server.static_key == key) co_return server;
            keys.push_back(server.static_key);
        }
        Entry entry;
        entry.version = kEntryVersion;
        entry.static_key = key;
        entry.client = ClientInfo{std::move(keys)};
        co_return entry;
    }
    Task<Result<std::vector<Entry>>> available_servers() override { co_return servers_; }
    Task<Result<std::vector<Entry>>> all_servers() override { co_return servers_; }
    Task<Result<>> post(Entry) override { co_return Result<>(); }
    Task<Result<>> erase(Entry) override { co_return Result<>(); }

 private:
    std::vector<Entry> servers_;
};

}  // namespace

Result<std::unique_ptr<DiscoveryClient>> make_http_discovery(
    const net::Context& context, http::Client& client, std::string_view url
) {
    constexpr std::string_view kDmsg = "dmsg://";
    auto parsed = url.starts_with(kDmsg)
                      ? http::Url::parse("http://" + std::string(url.substr(kDmsg.size())))
                      : http::Url::parse(url);
    if (!parsed) return parsed.error();
    return std::make_unique<HttpDiscovery>(context, client, std::move(*parsed));
}

std::unique_ptr<DiscoveryClient> make_fallback_discovery(
    const net::Context& context,
    std::unique_ptr<DiscoveryClient> first,
    std::unique_ptr<DiscoveryClient> second
) {
    return std::make_unique<FallbackDiscovery>(context, std::move(first), std::move(second));
}

std::unique_ptr<DiscoveryClient> make_static_discovery(std::vector<Entry> servers) {
    return std::make_unique<StaticDiscovery>(std::move(servers));
}

}  // namespace skywire::dmsg
