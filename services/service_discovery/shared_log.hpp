#pragma once

#include "base/random.hpp"
#include "services/service_discovery/table.hpp"

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace skywire::service_discovery {

/// The last changes of a store that several services write: one value, `service-discovery:log`,
/// which each write replaces under the condition that it is still the one the writer knows. So all
/// writes are in one order, and a reader with an older value sees how many it has missed and, of
/// the last 16 places, where; after a write of many places of those of four such writes, so that a
/// reader of everything has not missed more when it has read it.
///
/// `["EPOCH",NUMBER,["TYPE","KEY"],...]`: the number of changes so far; the places of the last
/// ones, the latest one behind. The epoch is drawn by whoever finds no value.
class SharedLog {
 public:
    static constexpr std::string_view kKey = "service-discovery:log";

    /// As found in the store; unreadable text counts as none.
    static SharedLog parse(std::optional<std::string> text);

    /// The log after changes at these places.
    SharedLog after(const std::vector<Place>& places, Random& random) const;

    /// Where something has changed since `older`; nothing where that cannot be told.
    std::optional<std::vector<Place>> since(const SharedLog& older) const;

    /// Of the same epoch, and not younger.
    bool covered_by(const SharedLog& other) const;

    /// As it stands in the store; nothing where there is none.
    const std::optional<std::string>& text() const noexcept { return text_; }

 private:
    static constexpr std::size_t kPlacesMin = 12;
    /// Beside those: what four writes like the last one have.
    static constexpr std::size_t kPlacesOfWritesMax = 256;

    void write();

    std::optional<std::string> text_;
    std::string epoch_;
    std::uint64_t number_ = 0;
    std::deque<Place> places_;
};

}  // namespace skywire::service_discovery
