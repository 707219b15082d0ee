#include "services/transport_discovery/listing.hpp"

namespace skywire::tpd {
namespace {

/// An entry with keys, an id and short texts has 228 bytes.
constexpr std::size_t kEntryBytes = 240;

std::size_t index(Listing::Kind kind) noexcept {
    return static_cast<std::size_t>(kind);
}

}  // namespace

Listing::Place Listing::add(const transport::Entry& entry) {
    if (free_.empty()) {
        if (slabs_.empty() || slabs_.back().entries.size() == kSlabEntries) slabs_.emplace_back();
        Slab& last = slabs_.back();
        const Place place{
            static_cast<std::uint32_t>(slabs_.size() - 1),
            static_cast<std::uint32_t>(last.entries.size())
        };
        last.entries.push_back(&entry);
        touch(place);
        return place;
    }
    const Place place = free_.back();
    free_.pop_back();
    slabs_[place.slab].entries[place.slot] = &entry;
    touch(place);
    return place;
}

void Listing::remove(Place place) {
    slabs_[place.slab].entries[place.slot] = nullptr;
    touch(place);
    free_.push_back(place);
}

void Listing::touch(Place place) {
    Slab& slab = slabs_[place.slab];
    slab.texts = {};
    slab.packed = {};
}

Listing::Text Listing::text(std::size_t slab, Kind kind) {
    Slab& from = slabs_[slab];
    Text& text = from.texts[index(kind)];
    if (text) return text;
    std::string rendered;
    rendered.reserve(from.entries.size() * kEntryBytes);
    for (const transport::Entry* entry : from.entries) {
        if (entry == nullptr || (kind == Kind::without_self && entry->to_self())) continue;
        if (!rendered.empty()) rendered += ',';
        transport::append_json(rendered, *entry, JsonEscape::html);
    }
    text = std::make_shared<const std::string>(std::move(rendered));
    return text;
}

std::shared_ptr<const Listing::Packed> Listing::packed(
    std::size_t slab, Kind kind, const Text& text
) const {
    const auto& kept = slabs_[slab].packed[index(kind)];
    return kept && kept->of == text ? kept : nullptr;
}

void Listing::keep(std::size_t slab, Kind kind, std::shared_ptr<const Packed> packed) {
    slabs_[slab].packed[index(kind)] = std::move(packed);
}

}  // namespace skywire::tpd
