// A control socket that says one thing, for tests of who asks.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <string>
#include <thread>
#include <utility>

#include "base/unique_fd.h"

namespace tricorn::control {

/// Answers every request with the same line, from a thread of its own, until it is destroyed.
class FakeServer {
 public:
  /// @param path  of the socket it makes; short enough for one
  FakeServer(std::string path, std::string line)
      : path_(std::move(path)), listener_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listener_.get(), 4), 0);
    thread_ = std::thread([this, line = std::move(line)] { answer_all(line); });
  }
  ~FakeServer() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }
  FakeServer(const FakeServer&) = delete;
  FakeServer& operator=(const FakeServer&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  void answer_all(const std::string& line) const {
    for (;;) {
      const base::UniqueFd one(::accept(listener_.get(), nullptr, nullptr));
      if (!one.valid()) return;
      char request[4096];
      while (::recv(one.get(), request, sizeof request, 0) > 0)
        ::send(one.get(), line.data(), line.size(), MSG_NOSIGNAL);
    }
  }

  std::string path_;
  base::UniqueFd listener_;
  std::thread thread_;
};

}  // namespace tricorn::control
