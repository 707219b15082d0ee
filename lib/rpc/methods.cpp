#include "rpc/methods.hpp"

#include <algorithm>

namespace skywire::rpc {
namespace {

/// "RPCGateway." of "RPCGateway.ReserveIDs"; empty where there is no dot.
std::string_view service_of(std::string_view name) {
    const auto dot = name.rfind('.');
    return dot == std::string_view::npos ? std::string_view() : name.substr(0, dot + 1);
}

}  // namespace

const Methods::Begin* Methods::find(std::string_view name) const noexcept {
    const auto found = methods_.find(name);
    return found == methods_.end() ? nullptr : &found->second;
}

std::string Methods::unknown_text(std::string_view name) const {
    const std::string_view service = service_of(name);
    if (service.empty()) return "rpc: service/method request ill-formed: " + std::string(name);
    const bool known = std::any_of(methods_.begin(), methods_.end(), [&](const auto& method) {
        return service_of(method.first) == service;
    });
    return (known ? "rpc: can't find method " : "rpc: can't find service ") + std::string(name);
}

}  // namespace skywire::rpc
