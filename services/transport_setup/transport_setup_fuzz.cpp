// Bodies of both requests: what is read can be read again, and what is refused says why.

#include "base/bytes.hpp"
#include "services/transport_setup/request.hpp"

#include <cstdlib>
#include <span>

using namespace skywire;
using namespace skywire::transport_setup;

namespace {

void check(bool holds) {
    if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view body = as_text(std::as_bytes(std::span(data, size)));
    const auto add = read_add(body);
    check(add ? !add->from.is_null() && !add->to.is_null() : !add.error().message().empty());
    const auto remove = read_remove(body);
    check(remove ? !remove->from.is_null() : !remove.error().message().empty());
    return 0;
}
