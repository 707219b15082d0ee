#include "services/dmsg_discovery/own_discovery.hpp"

#include "dmsg/error.hpp"

namespace skywire::discovery {
namespace {

using Texts = Result<std::vector<std::string>>;

Result<std::vector<dmsg::Entry>> read_all(const Texts& texts) {
    if (!texts) return texts.error();
    std::vector<dmsg::Entry> entries;
    for (const std::string& text : *texts) {
        const auto parsed = dmsg::ReceivedEntry::parse(text);
        if (!parsed) return parsed.error();
        entries.push_back(parsed->entry());
    }
    return entries;
}

class OwnDiscovery final : public dmsg::DiscoveryClient {
 public:
    explicit OwnDiscovery(Discovery discovery) : discovery_(std::move(discovery)) {}

    Task<Result<dmsg::Entry>> entry(crypto::PublicKey key) override {
        const auto text = co_await discovery_.entry(key.to_text());
        if (!text) co_return text.error();
        const auto& stored = *text;
        if (!stored) co_return Error(make_error_code(dmsg::errc::entry_not_found));
        const auto parsed = dmsg::ReceivedEntry::parse(*stored);
        if (!parsed) co_return parsed.error();
        co_return parsed->entry();
    }

    Task<Result<std::vector<dmsg::Entry>>> available_servers() override {
        co_return read_all(co_await discovery_.available_servers());
    }

    Task<Result<std::vector<dmsg::Entry>>> all_servers() override {
        co_return read_all(co_await discovery_.all_servers());
    }

    Task<Result<>> post(dmsg::Entry entry) override {
        const auto written = co_await discovery_.post(to_json(entry), /*short_lived=*/false);
        if (!written) co_return written.error();
        co_return Result<>();
    }

    Task<Result<>> erase(dmsg::Entry entry) override { return discovery_.erase(to_json(entry)); }

 private:
    Discovery discovery_;
};

}  // namespace

std::unique_ptr<dmsg::DiscoveryClient> make_own_discovery(Discovery discovery) {
    return std::make_unique<OwnDiscovery>(std::move(discovery));
}

}  // namespace skywire::discovery
