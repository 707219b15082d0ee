# Libraries of Debian 12. tools/setup.sh installs them.

find_package(Threads REQUIRED)
find_package(Boost 1.81.0 EXACT CONFIG REQUIRED COMPONENTS headers json url)
find_package(OpenSSL 3 REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(ZLIB REQUIRED)
find_package(fmt CONFIG REQUIRED)
find_package(spdlog CONFIG REQUIRED)
find_package(CLI11 CONFIG REQUIRED)
find_package(Catch2 2 CONFIG REQUIRED)
find_package(prometheus-cpp CONFIG REQUIRED COMPONENTS core)
find_package(PkgConfig REQUIRED)
pkg_check_modules(secp256k1 REQUIRED IMPORTED_TARGET libsecp256k1)
# Debian's version file for find_package(hiredis) is broken, its pkg-config file is not.
pkg_check_modules(hiredis REQUIRED IMPORTED_TARGET hiredis)
# The sanitizers bring their own allocator and signal handlers: no gperftools beside them.
if(NOT SKYWIRE_SANITIZE)
    pkg_check_modules(profiler REQUIRED IMPORTED_TARGET libprofiler)
    pkg_check_modules(tcmalloc REQUIRED IMPORTED_TARGET libtcmalloc)
endif()
include(Catch)
