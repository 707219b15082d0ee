# Version, commit and date of the commit, compiled into one small object (base/build_info.cpp).

# Named by who compiles sources without their repository (docker/build.sh).
if(DEFINED CACHE{SKYWIRE_COMMIT} AND DEFINED CACHE{SKYWIRE_DATE})
    return()
endif()

find_package(Git QUIET)
set(SKYWIRE_COMMIT "unknown")
set(SKYWIRE_DATE "unknown")
if(Git_FOUND)
    execute_process(COMMAND ${GIT_EXECUTABLE} -C ${PROJECT_SOURCE_DIR} rev-parse --short=12 HEAD
        OUTPUT_VARIABLE git_commit OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE git_failed ERROR_QUIET)
    if(NOT git_failed)
        set(SKYWIRE_COMMIT ${git_commit})
        execute_process(COMMAND ${GIT_EXECUTABLE} -C ${PROJECT_SOURCE_DIR} show -s --format=%cI HEAD
            OUTPUT_VARIABLE SKYWIRE_DATE OUTPUT_STRIP_TRAILING_WHITESPACE)
        # A new commit runs cmake again, so that the binary does not carry an old one's name.
        if(EXISTS ${PROJECT_SOURCE_DIR}/.git/logs/HEAD)
            set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/.git/logs/HEAD)
        endif()
    endif()
endif()
