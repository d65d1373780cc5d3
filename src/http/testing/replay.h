// A server's reading side without a server: for tests and fuzz targets only.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "http/h1/chunked.h"
#include "http/h1/parser.h"

namespace tricorn::http::testing {

/// Reads one connection's bytes as the worker does and writes down what it understood: one line per
/// request, "GET /path query keep-alive [body]", "refused 400", "broken 400" for a body, and
/// nothing after the last request the connection may carry. The same bytes give the same transcript
/// however they are cut.
class Replay {
 public:
  explicit Replay(const Limits& limits) : parser_(limits), decoder_(limits) {}

  /// Takes the next bytes of the connection.
  void receive(std::string_view bytes) {
    if (ended_) return;
    buffer_.append(bytes);  // moves the buffer now and then, as a real one does
    while (!ended_ && (in_body_ ? read_body() : read_head())) {
    }
  }

  [[nodiscard]] const std::string& transcript() const { return transcript_; }
  [[nodiscard]] bool ended() const { return ended_; }  ///< nothing more is acted on

 private:
  bool read_head() {
    const auto status = parser_.feed(std::string_view(buffer_).substr(begin_));
    if (status == h1::HeadParser::Status::NeedMore) return false;
    if (status == h1::HeadParser::Status::Error) return end("refused", parser_.refusal());
    const RequestHead& head = parser_.head();
    note_ = std::string(head.method_text) + " " + std::string(head.path) + " " +
            (head.query.empty() ? "-" : std::string(head.query)) +
            (head.keep_alive ? " keep-alive [" : " close [");
    keep_alive_ = head.keep_alive;
    chunked_ = head.chunked;
    left_ = head.content_length;
    begin_ += head.head_bytes;
    in_body_ = true;
    return true;
  }

  bool read_body() {
    bool complete = false;
    if (chunked_) {
      const auto step = decoder_.feed(std::string_view(buffer_).substr(begin_));
      note_.append(step.data);
      begin_ += step.consumed;
      if (step.status == h1::ChunkedDecoder::Status::Error)
        return end("broken", decoder_.refusal());
      complete = step.status == h1::ChunkedDecoder::Status::Done;
      if (!complete && step.consumed > 0) return true;
    } else {
      const std::size_t here = std::min<std::uint64_t>(left_, buffer_.size() - begin_);
      note_.append(buffer_, begin_, here);
      begin_ += here;
      left_ -= here;
      complete = left_ == 0;
    }
    if (complete) finish();
    return complete;
  }

  void finish() {
    transcript_ += note_ + "]\n";
    in_body_ = false;
    ended_ = !keep_alive_;
    parser_.reset();
    decoder_.reset();
  }

  bool end(const char* how, const Refusal& refusal) {
    transcript_ += std::string(how) + " " + std::to_string(refusal.status) + "\n";
    ended_ = true;
    return false;
  }

  h1::HeadParser parser_;
  h1::ChunkedDecoder decoder_;
  std::string buffer_;
  std::size_t begin_ = 0;
  std::string transcript_;
  std::string note_;  // the request in progress
  bool in_body_ = false;
  bool chunked_ = false;
  bool keep_alive_ = false;
  bool ended_ = false;
  std::uint64_t left_ = 0;
};

}  // namespace tricorn::http::testing
