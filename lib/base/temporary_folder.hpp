#pragma once

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

#include <stdlib.h>

namespace skywire::test {

/// A fresh folder of one test, removed with all that is in it.
class TemporaryFolder {
 public:
    TemporaryFolder() : path_(std::filesystem::temp_directory_path() / "skywire-test-XXXXXX") {
        if (::mkdtemp(path_.data()) == nullptr)
            throw std::runtime_error("cannot make a test's folder");
    }
    ~TemporaryFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;

    const std::string& path() const noexcept { return path_; }
    std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }

    /// Writes a file into it; its path.
    std::string write(std::string_view name, std::string_view text) const {
        std::string file = *this / name;
        std::ofstream(file, std::ios::binary) << text;
        return file;
    }

 private:
    std::string path_;
};

}  // namespace skywire::test
