#pragma once

#include "cli/cli.hpp"
#include "framework/harness/test_services.hpp"
#include "services/registry.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

/// Running command lines inside a test.
namespace skywire::cli {

/// All types, with those for tests.
inline framework::ServiceRegistry test_types() {
    auto registry = services::all_service_types();
    registry.add(harness::test_service_type());
    return registry;
}

struct Ran {
    int code = 0;
    std::string out;
    std::string err;
};

inline Ran run_line(const std::vector<std::string>& line) {
    std::ostringstream out;
    std::ostringstream err;
    const int code = run_cli(line, test_types(), {out, err});
    return {code, out.str(), err.str()};
}

/// A folder of one test, gone with it.
class TestFolder {
 public:
    TestFolder() : path_((std::filesystem::temp_directory_path() / "skywire-cli-XXXXXX").string()) {
        if (::mkdtemp(path_.data()) == nullptr) throw std::runtime_error("no test folder");
    }
    ~TestFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    TestFolder(const TestFolder&) = delete;
    TestFolder& operator=(const TestFolder&) = delete;

    const std::string& path() const noexcept { return path_; }
    std::string write(const std::string& name, const std::string& text) const {
        std::string file = path_ + "/" + name;
        std::ofstream(file, std::ios::binary) << text;
        return file;
    }

 private:
    std::string path_;
};

}  // namespace skywire::cli
