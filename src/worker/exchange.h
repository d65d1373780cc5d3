// One request and its response while they are in progress. A connection that idles has none.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"
#include "crew/roster.h"
#include "gateway/wsgi/body.h"
#include "gateway/wsgi/sink.h"
#include "heartbeat/recorder.h"
#include "http/h1/chunked.h"
#include "http/h1/parser.h"
#include "worker/allowance.h"
#include "worker/trust.h"

namespace tricorn::worker {

struct Connection;

/// Times a client may keep us waiting, in milliseconds; 0 or less means for ever.
struct ClientTimeouts {
  int body_ms = 30'000;
  int write_ms = 30'000;
};

/// Bytes of a body that are read before the application is called; the rest is streamed to it.
/// While the client keeps us waiting for more, they may grow by a loan.
inline constexpr std::size_t kBodyAheadBytes = 64 * 1024;
/// Bytes of a response that may wait for the client; beyond these and a loan the application's
/// thread waits too.
inline constexpr std::size_t kUnsentBytesMax = 256 * 1024;
/// Most that is lent to one request, and to all of a worker. Source: docs/decisions/0008
inline constexpr std::size_t kLoanBytesMax = 4 * 1024 * 1024;
inline constexpr std::size_t kLentBytesMax = 32 * 1024 * 1024;
/// First size of the receive buffer; a head that needs more makes it grow to http::Limits.
inline constexpr std::size_t kReceiveBytes = 16 * 1024;

/// What a read from the client brought.
enum class Intake { More, Ready, Closed, Refused, Nothing };

/// Reads one request, is the Body and the Sink of its application call, flushes its response.
/// At any time one thread uses it: the baton's holder, or the app thread that runs it.
class Exchange final : public gateway::wsgi::Body,
                       public gateway::wsgi::Sink,
                       public crew::Unbegun {
 public:
  /// @param draining  no further request may follow on any connection once it is not 0
  /// @param proxy  outlives it, and so does `allowance`
  Exchange(const http::Limits& limits, const ClientTimeouts& timeouts, const ProxyRules& proxy,
           const std::atomic<std::uint32_t>& draining, Allowance& allowance);

  /// Starts over for `connection`; keeps buffers.
  void attach(Connection& connection);
  [[nodiscard]] Connection& connection() const { return *connection_; }

  // ---- intake (no GIL needed) ----
  /// Reads what the socket has and goes on parsing.
  Intake receive();
  /// Parses what was read already (pipelined requests).
  Intake parse();
  [[nodiscard]] const http::RequestHead& head() const { return parser_.head(); }
  /// Why the request is refused, after Intake::Refused.
  [[nodiscard]] const http::Refusal& refusal() const;
  /// True once a byte of the next request was read.
  [[nodiscard]] bool has_input() const { return end_ > begin_; }
  [[nodiscard]] bool head_done() const { return stage_ != Stage::Head; }
  /// "GET /orders" of this request, also when no more than its first line is here; may be empty.
  [[nodiscard]] std::string request_so_far() const;
  /// Bytes of this request that were read.
  [[nodiscard]] std::uint64_t bytes_so_far() const { return end_ - begin_ + ahead_.size(); }
  /// True once for a request whose client waits for "100 Continue". RFC 9110 section 10.1.1.
  [[nodiscard]] bool take_continue();
  /// True when nothing of this request's body is left on the wire.
  [[nodiscard]] bool body_taken() const;
  /// All that was read from the start of this whole request on, so that another worker can read it
  /// again. Empty: it is not at hand any more.
  [[nodiscard]] std::string_view as_read() const;
  /// The first bytes of a connection are those that another worker has read.
  /// @param bytes  at most heartbeat::kPayloadMax
  void begin_with(std::string_view bytes);
  /// Moves on to what follows this request in the buffer.
  void next_request();

  // ---- the application's side ----
  /// @param slot  of the thread that runs the request
  /// @param marks  of its connection, in the shared page
  void run_on(heartbeat::Slot& slot, heartbeat::AnswerMarks& marks);
  gateway::wsgi::BodyStatus read(char* into, std::size_t bytes_max, std::size_t& got,
                                 const pyapi::Gil& gil) override;
  [[nodiscard]] std::int64_t remaining() const override;
  [[nodiscard]] const http::Refusal* fault() const override {
    return malformed_ ? &decoder_.refusal() : slow_upload ? &kTooSlow : nullptr;
  }
  [[nodiscard]] bool begin() override;
  /// A worker that leaves answers what the client has sent already: it must not have to ask again.
  [[nodiscard]] bool must_close() const override {
    return !body_taken() || (draining_.load(std::memory_order_relaxed) != 0 && !next_has_arrived());
  }
  void will_live_on(bool keep_alive) override { lives_on_ = keep_alive; }
  [[nodiscard]] bool send(std::string_view head, PyObject* owner, std::string_view body,
                          std::string_view tail, bool last, const pyapi::Gil& gil) override;
  [[nodiscard]] bool send_file(std::string_view head, const gateway::wsgi::SendableFile& file,
                               const pyapi::Gil& gil) override;

  // ---- flushing (no GIL needed) ----
  enum class Flush { Done, Blocked, Failed };
  /// Sends what is kept, as far as the client takes it.
  Flush flush();
  [[nodiscard]] bool has_unsent() const { return unsent_bytes_ > 0 || file_.valid(); }
  /// Queues bytes of our own (an error page, 100 Continue) behind what is kept.
  void append_own(std::string_view bytes);
  /// Objects whose bytes were sent; the caller drops the references when it has the GIL.
  void take_garbage(std::vector<PyObject*>& into);
  /// Forgets what is kept; its objects become garbage.
  void drop_unsent();

  bool slow_upload = false;  ///< the application waited for the body in vain
  bool slow_read = false;    ///< ... or for the client to take the response
  bool close_after = false;  ///< the connection ends with this response
  bool failed = false;       ///< the client is gone or the response is broken: just close
  bool abandoned =
      false;  ///< the arbiter answers this client through the keeper: leave the descriptor alone

 private:
  enum class Stage { Head, Buffering, Complete };
  static inline const http::Refusal kTooSlow{408, ""};

  struct Segment {    // bytes that wait for the client
    PyObject* owner;  // of the bytes in `borrowed`; null: they are copied
    std::string_view borrowed;
    std::string copied;
    std::size_t taken = 0;  // by the client

    [[nodiscard]] std::string_view unsent() const {
      return (owner == nullptr ? std::string_view(copied) : borrowed).substr(taken);
    }
  };

  std::optional<Intake> take_proxy_header();
  std::optional<Intake> refuse(int status, std::string message);
  Intake after_head();
  Intake after_body_bytes();
  Intake decode_ahead();
  [[nodiscard]] std::size_t ahead_max() const { return kBodyAheadBytes + loan_.bytes(); }
  bool enough_ahead();
  bool make_room();
  std::ptrdiff_t receive_into(char* into, std::size_t bytes_max) const;
  bool wait_for_client(short events, int timeout_ms, const pyapi::Gil& gil) const;
  gateway::wsgi::BodyStatus stream(char* into, std::size_t bytes_max, std::size_t& got,
                                   const pyapi::Gil& gil);
  gateway::wsgi::BodyStatus stream_chunked(char* into, std::size_t bytes_max, std::size_t& got,
                                           const pyapi::Gil& gil);
  void keep(std::string_view bytes, PyObject* owner);
  void drop_garbage(const pyapi::Gil& gil);
  void note_progress(std::size_t body_bytes);
  bool drain_below_limit(const pyapi::Gil& gil);
  Flush flush_segments();
  Flush flush_file();
  void sent(std::size_t bytes);
  void note_answer_end(std::uint64_t bytes_left);
  [[nodiscard]] bool next_is_read() const;
  [[nodiscard]] bool next_has_arrived() const;

  Connection* connection_ = nullptr;
  heartbeat::Slot* slot_ = nullptr;
  heartbeat::AnswerMarks* marks_ = nullptr;
  bool lives_on_ = false;
  ClientTimeouts timeouts_;
  const ProxyRules& proxy_;
  const std::atomic<std::uint32_t>& draining_;
  std::optional<http::Refusal> own_refusal_;  // beside the parsers'
  std::size_t head_bytes_max_;

  // received bytes: [begin_, end_) are not consumed; the head's views point into them
  std::unique_ptr<char[]> buffer_;
  std::size_t capacity_ = kReceiveBytes;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::size_t next_ = 0;  // where the next request begins, once the head is done

  http::h1::HeadParser parser_;
  http::h1::ChunkedDecoder decoder_;
  Stage stage_ = Stage::Head;
  bool malformed_ = false;
  bool fresh_ = true;  // the parsers have seen nothing

  // body: what was read ahead (a view into buffer_ or ahead_), then what is still on the wire
  std::string ahead_;
  std::string_view body_view_;
  std::uint64_t on_wire_ = 0;  // bytes of a body with Content-Length
  bool chunks_left_ = false;
  bool comes_fast_ = false;  // the last read brought as much as it could
  bool continue_owed_ = false;
  Loan loan_;  // for what the client has sent or has not taken

  // response bytes the client has not taken
  std::deque<Segment> segments_;
  std::vector<PyObject*> garbage_;
  std::size_t unsent_bytes_ = 0;
  base::UniqueFd file_;
  off_t file_offset_ = 0;
  off_t file_bytes_ = 0;
};

}  // namespace tricorn::worker
