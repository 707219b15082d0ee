#pragma once

/// SKY_ASSERT: an invariant of our own code, checked in release too; ends the process with the
/// expression and its place. Never for input from outside: that gets a Result.
namespace skywire {

[[noreturn]] void assertion_failed(const char* expression, const char* file, int line) noexcept;

}  // namespace skywire

#define SKY_ASSERT(expression)                            \
    (static_cast<bool>(expression) ? static_cast<void>(0) \
                                   : ::skywire::assertion_failed(#expression, __FILE__, __LINE__))
