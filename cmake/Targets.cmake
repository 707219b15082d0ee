# How a folder declares what it builds. Names: target skywire_NAME, alias skywire::NAME.
#
#   skywire_library(NAME SOURCES a.cpp ... LINKS skywire::base ...)   what the include rule is checked against
#   skywire_test(NAME SOURCES a_test.cpp ... LINKS ...)               one program NAME_test, an entry of ctest;
#                                                                     THREADS: it runs more than one thread
#   skywire_fuzz(NAME SOURCE a_fuzz.cpp CORPUS dir LINKS ...)         a libFuzzer program, or a corpus replayer
#   skywire_program(NAME SOURCES ... LINKS ...)

function(skywire_precompiled target)
    add_library(${target} STATIC ${PROJECT_SOURCE_DIR}/cmake/pch.cpp)
    target_compile_options(${target} PRIVATE ${ARGN})
    target_link_libraries(${target} PUBLIC skywire_options Boost::headers Boost::json fmt::fmt Threads::Threads)
    target_include_directories(${target} PUBLIC ${PROJECT_SOURCE_DIR}/lib ${PROJECT_SOURCE_DIR})
    target_precompile_headers(${target} PRIVATE ${PROJECT_SOURCE_DIR}/cmake/pch.hpp)
endfunction()

skywire_precompiled(skywire_pch)
# In a sanitizer's build tests compile in half the time where they, unlike what they test, are not optimised.
set(test_pch skywire_pch)
set(test_options)
if(SKYWIRE_SANITIZE)
    set(test_pch skywire_test_pch)
    set(test_options -O0)
    skywire_precompiled(${test_pch} ${test_options})
endif()

# Catch2's main costs 14 s: once for all tests.
add_library(skywire_catch_main STATIC EXCLUDE_FROM_ALL ${PROJECT_SOURCE_DIR}/cmake/catch_main.cpp)
target_link_libraries(skywire_catch_main PUBLIC Catch2::Catch2)
target_compile_options(skywire_catch_main PRIVATE ${test_options})

function(skywire_setup target pch)
    target_link_libraries(${target} PUBLIC skywire_options Boost::headers fmt::fmt Threads::Threads)
    target_include_directories(${target} PUBLIC ${PROJECT_SOURCE_DIR}/lib ${PROJECT_SOURCE_DIR})
    target_precompile_headers(${target} REUSE_FROM ${pch})
endfunction()

function(skywire_library name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LINKS;PRIVATE_LINKS")
    add_library(skywire_${name} STATIC ${arg_SOURCES})
    add_library(skywire::${name} ALIAS skywire_${name})
    skywire_setup(skywire_${name} skywire_pch)
    target_link_libraries(skywire_${name} PUBLIC ${arg_LINKS} PRIVATE ${arg_PRIVATE_LINKS})
endfunction()

function(skywire_program name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LINKS")
    add_executable(${name} ${arg_SOURCES})
    skywire_setup(${name} skywire_pch)
    target_link_libraries(${name} PRIVATE ${arg_LINKS})
endfunction()

function(skywire_test name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "THREADS" "" "SOURCES;LINKS")
    add_executable(${name}_test ${arg_SOURCES})
    skywire_setup(${name}_test ${test_pch})
    target_compile_options(${name}_test PRIVATE ${test_options})
    target_link_libraries(${name}_test PRIVATE ${arg_LINKS} skywire_catch_main)
    target_compile_definitions(${name}_test PRIVATE
        SKYWIRE_SOURCE_DIR="${PROJECT_SOURCE_DIR}" SKYWIRE_BINARY_DIR="${CMAKE_BINARY_DIR}")
    add_test(NAME ${name} COMMAND ${name}_test)
    set_tests_properties(${name} PROPERTIES TIMEOUT 300 LABELS unit)
    set_property(GLOBAL APPEND PROPERTY SKYWIRE_TESTS ${name}_test)
    if(arg_THREADS)
        set_property(TEST ${name} APPEND PROPERTY LABELS threads)
        set_property(GLOBAL APPEND PROPERTY SKYWIRE_THREADED_TESTS ${name}_test)
    endif()
endfunction()

function(skywire_fuzz name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "SOURCE;CORPUS" "LINKS")
    add_executable(${name}_fuzz ${arg_SOURCE})
    skywire_setup(${name}_fuzz skywire_pch)
    target_link_libraries(${name}_fuzz PRIVATE ${arg_LINKS})
    if(SKYWIRE_FUZZ)
        target_link_options(${name}_fuzz PRIVATE -fsanitize=fuzzer)
    else()
        target_sources(${name}_fuzz PRIVATE ${PROJECT_SOURCE_DIR}/cmake/fuzz_replay.cpp)
        add_test(NAME ${name}_corpus COMMAND ${name}_fuzz ${CMAKE_CURRENT_SOURCE_DIR}/${arg_CORPUS})
        set_tests_properties(${name}_corpus PROPERTIES TIMEOUT 300 LABELS corpus)
    endif()
    set_property(GLOBAL APPEND PROPERTY SKYWIRE_FUZZ_TARGETS ${name}_fuzz)
    set_property(GLOBAL APPEND_STRING PROPERTY SKYWIRE_FUZZERS
        "${name}_fuzz ${CMAKE_CURRENT_SOURCE_DIR}/${arg_CORPUS}\n")
endfunction()

# Called last: targets that build one kind of program, and the list that tools/fuzz.sh reads.
function(skywire_collect)
    get_property(tests GLOBAL PROPERTY SKYWIRE_TESTS)
    add_custom_target(unit_tests DEPENDS ${tests})
    get_property(threaded_tests GLOBAL PROPERTY SKYWIRE_THREADED_TESTS)
    add_custom_target(threaded_tests DEPENDS ${threaded_tests})
    get_property(fuzz_targets GLOBAL PROPERTY SKYWIRE_FUZZ_TARGETS)
    add_custom_target(fuzzers DEPENDS ${fuzz_targets})
    get_property(fuzzers GLOBAL PROPERTY SKYWIRE_FUZZERS)
    file(WRITE ${CMAKE_BINARY_DIR}/fuzzers.txt "${fuzzers}")
endfunction()
