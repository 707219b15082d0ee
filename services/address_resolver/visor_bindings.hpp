#pragma once

#include "cxo/tree.hpp"
#include "services/address_resolver/bindings.hpp"
#include "services/common/feed_intake.hpp"

#include <functional>
#include <map>
#include <optional>
#include <set>

namespace skywire::resolver {

/// Bindings that visors publish in feeds of their own instead of sending them: a leaf for each
/// type, `stcpr`, `squicr`, `swtr` (also `wt`), the body of a bind. Each is judged as one that
/// comes over dmsg, where nobody sees an address: it has the public one that the visor names, or it
/// is refused. It ends by age, is taken again while the visor is connected, and is removed when its
/// leaf is gone. spec/cxo.md section 10, spec/services-http.md section 6.1.
///
/// `sudph` is not taken: its address is that from which the visor's datagrams come, and who is
/// about to dial it is told through their session. What is unreadable or refused changes nothing.
///
/// Counts address_resolver_feed_bindings_total by outcome. Used on one event loop.
class VisorBindings {
 public:
    using OnStoreFailure = std::function<void(const Error&)>;

    /// `bindings` outlives it.
    VisorBindings(Metrics& metrics, Bindings& bindings, OnStoreFailure on_store_failure);

    /// `again` where the store does not answer, `nothing` where it is full.
    Task<services::FeedIntake::Taken> take(crypto::PublicKey publisher, cxo::Tree tree);
    /// Its bindings end by themselves.
    void forget(const crypto::PublicKey& publisher) { listed_.erase(publisher); }

    /// Of a visor's feed.
    static constexpr std::size_t kFeedBytesMax = std::size_t{64} << 10;

 private:
    std::optional<BindRequest> read(ByteSpan leaf);
    /// Whether the binding is good.
    Task<Result<bool>> bind(Type type, crypto::PublicKey publisher, BindRequest request);
    /// What its feed has bound before.
    Task<Result<>> unbind(Type type, crypto::PublicKey publisher);
    services::FeedIntake::Taken failed(const Error& error);

    Bindings& bindings_;
    OnStoreFailure on_store_failure_;
    /// What each visor's feed has bound.
    std::map<crypto::PublicKey, std::set<Type>> listed_;
    Counter& taken_;
    Counter& removed_;
    Counter& absent_;
    Counter& unreadable_;
    Counter& too_large_;
    Counter& not_public_;
    Counter& sudph_;
    Counter& limit_;
    Counter& store_unavailable_;
};

}  // namespace skywire::resolver
