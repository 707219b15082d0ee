#include "framework/service_type.hpp"

#include "base/assert.hpp"

namespace skywire::framework {

void ServiceRegistry::add(ServiceType type) {
    std::string name = type.name;
    SKY_ASSERT(!name.empty());
    const bool added = types_.emplace(std::move(name), std::move(type)).second;
    SKY_ASSERT(added);
}

const ServiceType* ServiceRegistry::find(std::string_view name) const noexcept {
    const auto found = types_.find(name);
    return found == types_.end() ? nullptr : &found->second;
}

std::vector<std::string_view> ServiceRegistry::names() const {
    std::vector<std::string_view> names;
    names.reserve(types_.size());
    for (const auto& [name, type] : types_)
        names.emplace_back(name);
    return names;
}

}  // namespace skywire::framework
