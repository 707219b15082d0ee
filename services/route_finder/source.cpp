#include "services/route_finder/source.hpp"

#include "dmsg/address.hpp"
#include "store/members.hpp"

#include <fmt/format.h>

namespace skywire::route_finder {
namespace {

/// A list of 300,000 transports.
constexpr std::size_t kListBytesMax = 64U << 20U;
constexpr std::chrono::milliseconds kListTimeout{5'000};

constexpr std::string_view kIndexKey = "transport-discovery:tp:_index";
constexpr std::string_view kRecordPrefix = "transport-discovery:tp:";
/// Our transport-discovery numbers what it writes: the number of the last change, and under each
/// number, in one step with the change itself, what it was about.
constexpr std::string_view kChangesKey = "transport-discovery:changes";
constexpr std::string_view kChangePrefix = "transport-discovery:change:";
/// How long the number alone is believed: records also expire, and others write without numbers.
constexpr std::chrono::seconds kReadAgain{5};

class ViewSource final : public GraphSource {
 public:
    ViewSource(const net::Context& context, LiveGraph& graph, transport::TransportView& view)
        : context_(context), graph_(graph), view_(view) {}

    Task<> refresh() override {
        following_ = view_.follow("", context_.loop, [this](const auto& update) { take(update); });
        co_return;
    }
    bool polled() const noexcept override { return false; }
    std::string trouble() const override {
        return view_.published("") ? "" : "it does not run: the last list answers";
    }
    void close() override { following_.reset(); }
    std::string place() const override { return "the transport-discovery of this process"; }

 private:
    void take(const transport::TransportView::Update& update) {
        if (update.complete) {
            auto graph = std::make_unique<Graph>();
            for (const transport::Entry& entry : update.put)
                graph->put(entry);
            graph_.replace(std::move(graph));
            return;
        }
        Graph* const graph = graph_.edit();
        if (graph == nullptr) return;
        for (const transport::Entry& entry : update.put)
            graph->put(entry);
        for (const TransportId& id : update.removed)
            graph->erase(id);
        graph_.edited();
    }

    net::Context context_;
    LiveGraph& graph_;
    transport::TransportView& view_;
    std::unique_ptr<transport::TransportView::Following> following_;
};

class StoreSource final : public GraphSource {
 public:
    StoreSource(
        const net::Context& context, LiveGraph& graph, store::Store& store, std::string place
    )
        : context_(context), graph_(graph), store_(store), place_(std::move(place)) {}

    Task<> refresh() override {
        const auto newest = co_await store_.get(std::string(kChangesKey));
        if (!newest) {
            graph_.failed(newest.error());
            co_return;
        }
        const SteadyTime now = context_.clock.now();
        // Empty: the store is another program's, which numbers nothing.
        const std::string number = newest->value_or("");
        if (seen_ == number && now < read_again_at_) {
            graph_.confirm();
            co_return;
        }
        // A number is taken just before its change is there: not yet seen, then.
        bool settled = number.empty() || asked_ == number;
        if (!settled) {
            const auto change = co_await store_.get(std::string(kChangePrefix) + number);
            settled = change && change->has_value();
        }
        asked_ = number;
        const bool taken = co_await read_all();
        seen_.reset();
        if (taken && settled) seen_ = number;
        read_again_at_ = now + kReadAgain;
    }
    bool polled() const noexcept override { return true; }
    std::string place() const override { return place_; }

 private:
    Task<bool> read_all() {
        std::vector<std::string> records;
        const auto key_of = [](std::string_view id) {
            return fmt::format("{}{}", kRecordPrefix, id);
        };
        const auto keep = [&records](const std::string&, std::optional<std::string> record) {
            if (record) records.push_back(std::move(*record));
        };
        const auto read =
            co_await store::read_members(store_, std::string(kIndexKey), key_of, keep);
        if (!read) {
            graph_.failed(read.error());
            co_return false;
        }
        co_return co_await take(std::move(records));
    }

    Task<bool> take(std::vector<std::string> records) {
        auto made = co_await context_.workers.run([records = std::move(records), keys = keys_] {
            return Result<Made>(graph_of_records(records, *keys));
        });
        if (!made) {
            graph_.failed(made.error());
            co_return false;
        }
        graph_.unreadable(made->unreadable);
        graph_.replace(std::move(made->graph));
        co_return true;
    }

    net::Context context_;
    LiveGraph& graph_;
    store::Store& store_;
    std::string place_;
    /// The number of changes of the graph as it is; nothing: to be read again.
    std::optional<std::string> seen_;
    std::string asked_;
    SteadyTime read_again_at_{};
    /// Shared with the worker, which may outlive a cancelled coroutine.
    std::shared_ptr<KeyCache> keys_ = std::make_shared<KeyCache>();
};

class UrlSource final : public GraphSource {
 public:
    UrlSource(const net::Context& context, LiveGraph& graph, std::string_view url, http::Url parsed)
        : context_(context),
          graph_(graph),
          url_(url),
          address_(std::move(parsed.address)),
          target_(std::move(parsed.target)),
          http_(context) {
        if (target_.ends_with('/')) target_.pop_back();
        target_ += "/all-transports";
    }

    Task<> refresh() override {
        http::ClientRequest request;
        request.address = address_;
        request.target = target_;
        request.timeout = kListTimeout;
        request.response_bytes_max = kListBytesMax;
        if (!tag_.empty()) request.fields.set("If-None-Match", tag_);
        auto response = co_await http_.send(std::move(request));
        if (!response) {
            graph_.failed(response.error());
        } else if (response->status == 304 && !tag_.empty()) {
            graph_.confirm();
        } else if (response->status != 200) {
            graph_.failed(fail(errc::unavailable, fmt::format("status {}", response->status)));
        } else {
            co_await take(std::move(*response));
        }
    }
    bool polled() const noexcept override { return true; }
    void close() override { http_.close(); }
    std::string place() const override { return url_; }

 private:
    /// Of a discovery that sends no ETag the text itself tells that nothing has changed.
    Task<> take(http::Response response) {
        const std::string tag(response.fields.get("ETag").value_or(""));
        const std::size_t before = hash_;
        using Read = std::pair<std::size_t, std::optional<Made>>;
        auto read = co_await context_.workers.run(
            [before, body = std::move(response.body), keys = keys_]() -> Result<Read> {
                const std::size_t hash = std::hash<std::string>()(body);
                if (hash == before) return Read(hash, std::nullopt);
                auto made = graph_of_list(body, *keys);
                if (!made) return made.error();
                return Read(hash, std::move(*made));
            }
        );
        if (!read) {
            graph_.failed(read.error());
            co_return;
        }
        auto& [hash, made] = *read;
        hash_ = hash;
        tag_ = tag;
        if (!made) {
            graph_.confirm();
            co_return;
        }
        graph_.unreadable(made->unreadable);
        graph_.replace(std::move(made->graph));
    }

    net::Context context_;
    LiveGraph& graph_;
    std::string url_;
    net::Address address_;
    std::string target_;
    http::Client http_;
    std::shared_ptr<KeyCache> keys_ = std::make_shared<KeyCache>();
    /// Of the list that the graph was made from.
    std::string tag_;
    std::size_t hash_ = 0;
};

}  // namespace

std::unique_ptr<GraphSource> make_view_source(
    const net::Context& context, LiveGraph& graph, transport::TransportView& view
) {
    return std::make_unique<ViewSource>(context, graph, view);
}

std::unique_ptr<GraphSource> make_store_source(
    const net::Context& context, LiveGraph& graph, store::Store& store, std::string place
) {
    return std::make_unique<StoreSource>(context, graph, store, std::move(place));
}

std::unique_ptr<GraphSource> make_url_source(
    const net::Context& context, LiveGraph& graph, std::string_view url, http::Url parsed
) {
    return std::make_unique<UrlSource>(context, graph, url, std::move(parsed));
}

}  // namespace skywire::route_finder
