#pragma once

#include "services/address_resolver/bindings.hpp"
#include "services/common/change_notes.hpp"
#include "services/common/feed_host.hpp"

#include <array>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace skywire::resolver {

/// The content of the feed ar-bindings: 256 leaves `H/H`, by the hex digits 2 and 3 of the visors'
/// keys, each a JSON object from keys to what resolve answers for them by type; all are always
/// there. spec/cxo.md section 10.
///
/// A binding that is written again as it was publishes nothing. What ends by its age, and what
/// programs of the network write, is found by a look at everything every 10 s; what another
/// resolver writes to the same Redis, by its notes. A UDP session that has just fallen silent
/// leaves the feed with its binding in the store, up to a minute after resolve has stopped to
/// answer it.
class BindingsContent final : public services::FeedContent {
 public:
    /// `bindings` and `store` outlive it.
    BindingsContent(const net::Context& context, Bindings& bindings, store::Store& store);

    /// Something of this visor was written or removed.
    void written(const crypto::PublicKey& key);
    /// Told of the first note after a call of `changes`.
    void on_change(std::function<void()> callback) { on_change_ = std::move(callback); }

    Task<Result<std::vector<cxo::Change>>> changes() override;

 private:
    /// What resolve answers, by type; empty: no binding.
    using Answers = std::array<std::string, kTypes.size()>;
    using Keys = std::set<crypto::PublicKey>;

    Task<Result<>> hear(services::ChangeNotes& notes);
    Task<Result<>> look_at(Keys keys);
    Task<Result<>> look_at_all();
    void take(Type type, const crypto::PublicKey& key, const std::optional<Binding>& binding);
    std::string render(const std::string& bucket) const;

    net::Context context_;
    Bindings& bindings_;
    std::optional<services::ChangeNotes> notes_;
    std::function<void()> on_change_;
    std::map<std::string, std::map<crypto::PublicKey, Answers>> buckets_;
    Keys written_;
    Keys untold_;
    /// Buckets whose leaf is to be made anew; all at first.
    std::set<std::string> changed_;
    SteadyTime look_at_all_at_{};
};

}  // namespace skywire::resolver
