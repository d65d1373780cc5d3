// The shared page of one worker: what it is doing right now, written by the worker with plain
// stores, read by the arbiter at any time. It is a memfd that both map, so it outlives the worker's
// SIGKILL.
//
// Nobody locks. The worker writes, the arbiter reads; the one word both write is Slot::claim, which
// decides who answers the client. Every reader must expect a slot to change under its eyes: read
// `sequence`, the fields, `sequence` again.
#pragma once

#include <sys/types.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "heartbeat/claim.h"
#include "heartbeat/latency.h"
#include "heartbeat/python_layout.h"

namespace tricorn::heartbeat {

inline constexpr std::uint32_t kMagic = 0x54524943;  // "TRIC"
/// Changes whenever the layout does; arbiter and `_core` are built together and check it.
inline constexpr std::uint32_t kVersion = 9;
/// App threads a worker can have. Source: our bound; Gunicorn has none.
inline constexpr std::uint32_t kSlotsMax = 1024;
/// Bytes of "METHOD path" a slot keeps; longer ones are cut.
inline constexpr std::size_t kRequestBytesMax = 384;
/// Bytes of a note a page keeps.
inline constexpr std::size_t kNoteBytesMax = 2048;

/// Where a worker is in its life. Written by the worker.
enum class Life : std::uint32_t {
  Forked = 0,    ///< exists, not introduced to the arbiter yet
  Booting = 1,   ///< hooks and application import
  Ready = 2,     ///< serves
  Draining = 3,  ///< takes no new connections, finishes what it holds
  Exiting = 4,   ///< Python exit functions run
};

/// Where a thread is with its request. Written by the worker.
enum class Phase : std::uint32_t {
  Idle = 0,
  Application = 1,  ///< the application has been called
  ReadingBody = 2,  ///< the application waits in wsgi.input.read() for the client
  Writing = 3,      ///< the application's bytes wait for the client to take them
};

/// Whether a worker begins requests. Written by the worker.
enum class Doors : std::uint32_t {
  Open = 0,
  Busy = 1,   ///< no app thread can begin one: what comes is left unread
  Stuck = 2,  ///< likewise, and one has waited for the GIL for long: anywhere else is better
};

/// What a connection holds, one byte per descriptor, so that after a sudden death the arbiter knows
/// which clients can be handed over unharmed and which must be answered.
enum class Hold : std::uint8_t {
  None = 0,     ///< not a client connection
  Idle = 1,     ///< between requests: nothing read from the socket that was not answered
  Reading = 2,  ///< bytes of a request were or are being taken from the socket, no answer begun
  Queued = 3,   ///< a whole request waits for an app thread; the application has not seen it
  InApp = 4,    ///< the application has it; see the slot with this connection_fd
  Writing = 5,  ///< a response has begun
};

/// Where the present answer of a connection lies among all bytes written to it. What the kernel has
/// been given tells how much of it is on its way, whatever its worker could still note.
struct AnswerMarks {
  std::atomic<std::uint64_t> begin;
  std::atomic<std::uint64_t> end;  ///< 0: not known, or the connection ends with the answer
};

/// The client of a connection.
struct Client {
  std::uint16_t family = 0;       ///< AF_INET, AF_INET6, AF_UNIX
  std::uint16_t port = 0;         ///< host order
  std::uint8_t address[16] = {};  ///< network order
};

/// Its address as text; empty for a unix socket.
[[nodiscard]] std::string text_of(const Client& client);

/// One app thread. 512 bytes, so that slots never share a cache line.
struct alignas(64) Slot {
  std::atomic<std::uint32_t> sequence;  ///< even: stable, odd: fields below are being written
  ClaimWord claim;
  std::atomic<std::uint32_t> request_id;  ///< counts this slot's requests, from 1
  std::atomic<Phase> phase;
  std::atomic<std::int64_t> started_ns;   ///< when the application was called; 0 while idle
  std::atomic<std::int64_t> progress_ns;  ///< when phase changed or bytes last moved; 0 while idle
  std::atomic<std::uint64_t> bytes_in;    ///< of the body, this request
  std::atomic<std::uint64_t> bytes_out;   ///< of the response, this request
  std::atomic<std::int32_t> tid;          ///< kernel thread id, 0 before the thread runs
  std::atomic<std::int32_t> connection_fd;
  std::atomic<std::uint64_t> tstate;     ///< address of the thread's PyThreadState in the worker
  std::atomic<std::uint32_t> abandoned;  ///< request_id that the arbiter has answered; see below
  std::atomic<std::uint32_t>
      farewell_status;  ///< HTTP status the arbiter answered with; 0: it cut what was begun
  std::atomic<std::uint32_t> farewell_bytes;  ///< of that answer's body
  Client client;
  std::uint16_t method_bytes;      ///< length of the method at the start of `request`
  std::uint16_t request_bytes;     ///< length used in `request`
  char request[kRequestBytesMax];  ///< "METHOD /path", no query string, raw bytes, not terminated

  /// Whether the arbiter has answered the present request: its thread may be lost.
  [[nodiscard]] bool is_abandoned() const {
    const std::uint32_t id = abandoned.load();
    return id != 0 && id == request_id.load();  // 0: nobody was answered yet, nor asked perhaps
  }
  /// Whether it has a request whose client still waits for the worker.
  [[nodiscard]] bool is_serving() const { return started_ns.load() != 0 && !is_abandoned(); }
};
static_assert(sizeof(Slot) == 512);

/// What the arbiter has to do when it has taken the right to answer.
struct TakenAnswer {
  Claim before = Claim::Pending;  ///< how far the worker was with it
  int connection_fd = -1;         ///< the worker's descriptor of that client
};

/// Takes the right to answer request `id` from the worker. The client is the one of that request,
/// though its thread may end it and begin the next one at any moment, with another client.
/// @return nothing: it has ended by itself, or was answered already
[[nodiscard]] std::optional<TakenAnswer> take_answer(Slot& slot, std::uint32_t id);

/// The worker's last words about its own end.
struct Crash {
  std::atomic<std::uint32_t> signal;  ///< fatal signal being handled, 0 none; stored last
  std::int32_t tid;
  std::int32_t code;        ///< siginfo si_code
  std::int32_t sender_pid;  ///< si_pid when the signal was sent by kill, else 0
  std::uint64_t address;    ///< si_addr
  std::uint64_t pc;
  std::uint64_t sp;
};

/// Text the worker leaves for the arbiter.
struct Note {
  std::atomic<std::uint32_t> bytes;
  char text[kNoteBytesMax];  ///< UTF-8
};

/// How a worker is to leave: bits of Header::drain_asked.
struct Drain {
  /// It begins no request that it has not read yet; connections between requests go to others.
  static constexpr std::uint32_t kLeave = 1;
  /// Nobody accepts from these listeners after it: it serves the backlog and closes them.
  static constexpr std::uint32_t kLastAtDoor = 2;
  /// Nobody else takes its connections: what a client has sent is answered here.
  static constexpr std::uint32_t kAlone = 4;
};

struct Header {
  std::uint32_t magic;
  std::uint32_t version;
  std::uint32_t slot_count;
  std::uint32_t hold_count;  ///< length of the Hold array behind the slots
  std::atomic<std::int32_t> pid;
  std::atomic<Life> life;
  std::atomic<std::int64_t> forked_ns;      ///< written by the arbiter when it asked for the fork
  std::atomic<std::int64_t> ready_ns;       ///< when Life became Ready, 0 before
  std::atomic<std::uint64_t> requests;      ///< answered since boot
  std::atomic<std::uint64_t> requests_max;  ///< leaves after so many; 0 never
  std::atomic<std::uint32_t> connections;
  /// Those with something to read, or a request that was read, that no thread here is free for; 0
  /// while one is.
  std::atomic<std::uint32_t> waiting;
  std::atomic<Doors> doors;
  LatencyCounts latency;  ///< how long requests took, app threads only: from call to last byte
  std::atomic<std::int32_t>
      control_fd;                      ///< the worker's end of control: orders it has not read yet
  std::atomic<std::uint64_t> adopted;  ///< connections from the arbiter, once open or passed on
  std::atomic<std::uint32_t> accepting;    ///< 1: in accept4, or its connection is in no Hold yet
  std::atomic<std::uint32_t> drain_asked;  ///< Drain; bits are only ever added
  std::atomic<std::uint32_t> abort_asked;  ///< arbiter sets 1 before it sends SIGABRT
  std::atomic<std::int32_t>
      exit_status;                     ///< what os._exit was called with, valid while exit_tid != 0
  std::atomic<std::int32_t> exit_tid;  ///< thread that is inside os._exit; 0 none
  std::atomic<std::int32_t> stop_sender;  ///< who sent SIGTERM, SIGINT or SIGQUIT first; 0 none
  std::atomic<std::uint32_t>
      layout_state;     ///< 0 not filled, 1 `python` is valid, 2 self-check failed
  Note stop_reference;  ///< of the stop by stop_sender, as a client was told; else empty
  Note boot_error;      ///< the exception that ended the boot
  Note boot_stack;      ///< where it was raised: lines of "LINE FUNCTION FILE", innermost first
  Crash crash;
  alignas(64) TricornPythonLayout python;  ///< how to read this interpreter from outside
};

/// A mapping of one worker's page. Unmaps when it goes.
class Page {
 public:
  Page() = default;
  ~Page();
  Page(Page&& other) noexcept;
  Page& operator=(Page&& other) noexcept;
  Page(const Page&) = delete;
  Page& operator=(const Page&) = delete;

  /// Maps and initialises a fresh page. @param fd a memfd, not owned. @return invalid on failure
  /// (errno is set).
  [[nodiscard]] static Page create(int fd, std::uint32_t slot_count, std::uint32_t hold_count);
  /// Maps a page that create() made, in another process. @return invalid when it is not one (errno
  /// is set).
  [[nodiscard]] static Page attach(int fd);

  /// For a forked child: from now on this mapping is a copy of header and slots that only this
  /// process sees; what connections hold is empty in it. Async-signal-safe. @return false: it is
  /// still the shared one (errno is set)
  [[nodiscard]] bool keep_copy() const;

  [[nodiscard]] bool valid() const { return base_ != nullptr; }
  [[nodiscard]] Header& header() const { return *static_cast<Header*>(base_); }
  [[nodiscard]] Slot& slot(std::uint32_t index) const;
  [[nodiscard]] std::uint32_t slot_count() const { return slot_count_; }
  /// The Hold byte of connection `fd`; a scratch byte when fd is beyond the table.
  [[nodiscard]] std::atomic<Hold>& hold(int fd) const {
    return holds_[std::min(static_cast<std::uint32_t>(fd), hold_count_)];
  }
  /// The marks of connection `fd`; scratch ones when fd is beyond the table.
  [[nodiscard]] AnswerMarks& answer_marks(int fd) const {
    return marks_[std::min(static_cast<std::uint32_t>(fd), hold_count_)];
  }
  [[nodiscard]] std::uint32_t hold_count() const { return hold_count_; }

 private:
  Page(void* base, std::size_t size) : base_(base), size_(size) {}
  void find_parts();

  void* base_ = nullptr;
  std::size_t size_ = 0;
  // Read from the header once: what the other process writes there later does not move them.
  Slot* slots_ = nullptr;
  AnswerMarks* marks_ = nullptr;
  std::atomic<Hold>* holds_ = nullptr;
  std::uint32_t slot_count_ = 0;
  std::uint32_t hold_count_ = 0;
};

/// Creates the memfd for a page, CLOEXEC. @return -1 with errno on failure. Source:
/// memfd_create(2).
[[nodiscard]] int create_page_fd();

/// Leaves a text, cut to kNoteBytesMax. Worker only.
void set_note(Note& note, std::string_view text);
/// What was left, possibly nothing. Any process.
[[nodiscard]] std::string_view text_of(const Note& note);

}  // namespace tricorn::heartbeat
