# Compiler, warnings, linker and sanitizers: what every target is built with.

if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 12.3)
    message(FATAL_ERROR
        "g++ ${CMAKE_CXX_COMPILER_VERSION} miscompiles coroutines (co_await in an if condition, "
        "GCC PR 107288): use clang++-19, as the presets do.")
endif()

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_CXX_SCAN_FOR_MODULES OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
# All programs, tests too, land in build/PRESET/.
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})

set(SKYWIRE_SANITIZE "" CACHE STRING "Sanitizers: address,undefined | thread")
option(SKYWIRE_FUZZ "Build the fuzz targets with libFuzzer (else as corpus replayers)" OFF)
option(SKYWIRE_COVERAGE "Instrument for llvm-cov" OFF)
option(SKYWIRE_WERROR "Warnings are errors" ON)

add_library(skywire_options INTERFACE)
target_compile_options(skywire_options INTERFACE
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wnon-virtual-dtor
    -Wold-style-cast -Wimplicit-fallthrough -Wunused -Woverloaded-virtual -Wthread-safety
    $<$<BOOL:${SKYWIRE_WERROR}>:-Werror>)
target_compile_definitions(skywire_options INTERFACE
    _GLIBCXX_ASSERTIONS
    BOOST_ASIO_SEPARATE_COMPILATION
    BOOST_ASIO_NO_DEPRECATED
    BOOST_BEAST_SEPARATE_COMPILATION
    BOOST_BEAST_USE_STD_STRING_VIEW)

# ccache can keep what a precompiled header touches only when the header carries no time stamp.
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    add_compile_options(-Xclang -fno-pch-timestamp -fcolor-diagnostics)
endif()
find_program(MOLD mold)
if(MOLD)
    add_link_options(-fuse-ld=mold)
endif()
add_link_options(-Wl,--as-needed)

if(SKYWIRE_SANITIZE)
    add_compile_options(-fsanitize=${SKYWIRE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    add_link_options(-fsanitize=${SKYWIRE_SANITIZE})
endif()
if(SKYWIRE_FUZZ)
    add_compile_options(-fsanitize=fuzzer-no-link)
endif()
if(SKYWIRE_COVERAGE)
    add_compile_options(-fprofile-instr-generate -fcoverage-mapping)
    add_link_options(-fprofile-instr-generate)
endif()
