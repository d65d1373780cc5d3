#include "worker/exchange.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "base/clock.h"
#include "worker/connection.h"
#include "worker/forked_copy.h"

namespace tricorn::worker {

using gateway::wsgi::BodyStatus;
using pyapi::Gil;
using pyapi::GilReleased;

namespace {

// Pieces of one response handed to one sendmsg.
constexpr std::size_t kPiecesMax = 16;
// A client of whose body so much comes in one read keeps nobody waiting.
constexpr std::size_t kFastReadBytes = 32 * 1024;
// More than this fills segments of its own: nothing is won when its rest waits for other answers.
constexpr std::size_t kCorkedBytesMax = 64 * 1024;
// A loan grows by this.
constexpr std::size_t kLoanStep = 256 * 1024;
// Bodies up to this size are copied rather than referenced when they must wait.
constexpr std::size_t kCopyBytesMax = 2048;
// Copies are gathered up to this size.
constexpr std::size_t kGatherBytes = 16 * 1024;
// Responses up to this size are joined on the stack before they are sent.
constexpr std::size_t kJoinBytesMax = 2048;

// The connection's client is who the proxy says.
void name_ends(Connection& connection, http::ProxyHeader header) {
  connection.client.family = header.ipv6 ? AF_INET6 : AF_INET;
  connection.client.port = header.source.port;
  std::memcpy(connection.client.address, header.source.address, sizeof header.source.address);
  connection.proxied = std::make_unique<http::ProxyHeader>(std::move(header));
}

// One system call. Few bytes are cheaper to copy together than to gather in the kernel.
// Source: bench/instructions.py and `make bench`, case hello.
ssize_t send_now(int fd, std::string_view head, std::string_view body, std::string_view tail,
                 int more) {
  const std::size_t total = head.size() + body.size() + tail.size();
  if (total <= kJoinBytesMax) {
    std::array<char, kJoinBytesMax> joined;
    char* at = joined.data();
    for (const std::string_view piece : {head, body, tail})
      at = static_cast<char*>(::mempcpy(at, piece.data(), piece.size()));
    return ::send(fd, joined.data(), total, MSG_NOSIGNAL | MSG_DONTWAIT | more);
  }
  std::array<iovec, 3> pieces{{{const_cast<char*>(head.data()), head.size()},
                               {const_cast<char*>(body.data()), body.size()},
                               {const_cast<char*>(tail.data()), tail.size()}}};
  msghdr message{};
  message.msg_iov = pieces.data();
  message.msg_iovlen = tail.empty() ? 2 : 3;
  return ::sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT | more);
}

bool would_block(int error) { return error == EAGAIN || error == EWOULDBLOCK; }

}  // namespace

Exchange::Exchange(const http::Limits& limits, const ClientTimeouts& timeouts,
                   const ProxyRules& proxy, const std::atomic<std::uint32_t>& draining,
                   Allowance& allowance)
    : timeouts_(timeouts),
      proxy_(proxy),
      draining_(draining),
      head_bytes_max_(limits.head_max() + kReceiveBytes),
      buffer_(std::make_unique_for_overwrite<char[]>(kReceiveBytes)),
      parser_(limits),
      decoder_(limits),
      loan_(allowance) {}

void Exchange::attach(Connection& connection) {
  connection_ = &connection;
  stage_ = Stage::Head;  // whatever the connection before left unread is not this one's
  begin_ = end_ = next_ = 0;
  next_request();
}

// ---- intake
// ----------------------------------------------------------------------------------------

std::ptrdiff_t Exchange::receive_into(char* into, std::size_t bytes_max) const {
  ssize_t got;
  do {
    got = ::recv(connection_->fd, into, bytes_max, MSG_DONTWAIT);
  } while (got < 0 && errno == EINTR);
  return got;
}

// Space behind end_; false when the head is longer than any head may be.
bool Exchange::make_room() {
  if (end_ < capacity_) return true;
  if (begin_ > 0 && stage_ == Stage::Head) {
    std::memmove(buffer_.get(), buffer_.get() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    return true;
  }
  if (capacity_ >= head_bytes_max_) return false;
  auto larger = std::make_unique_for_overwrite<char[]>(capacity_ * 2);
  std::memcpy(larger.get(), buffer_.get(), end_);
  buffer_ = std::move(larger);
  capacity_ *= 2;
  return true;
}

Intake Exchange::receive() {
  if (stage_ == Stage::Buffering && on_wire_ > 0 &&
      next_ == 0) {  // straight into the body's own buffer
    const std::size_t before = ahead_.size();
    const std::size_t wanted = std::min<std::uint64_t>(on_wire_, ahead_max() - before);
    ahead_.resize(before + wanted);
    const std::ptrdiff_t got = receive_into(ahead_.data() + before, wanted);
    ahead_.resize(before + static_cast<std::size_t>(std::max<std::ptrdiff_t>(got, 0)));
    if (got < 0) return would_block(errno) ? Intake::Nothing : Intake::Closed;
    if (got == 0) return Intake::Closed;
    on_wire_ -= static_cast<std::uint64_t>(got);
    const bool full = static_cast<std::size_t>(got) == wanted;
    connection_->readable = connection_->hung_up || full;
    comes_fast_ = full && wanted >= kFastReadBytes;
    return after_body_bytes();
  }
  if (!make_room()) return Intake::Refused;
  const std::size_t space = capacity_ - end_;
  const std::ptrdiff_t got = receive_into(buffer_.get() + end_, space);
  if (got < 0) return would_block(errno) ? Intake::Nothing : Intake::Closed;
  if (got == 0) return Intake::Closed;
  end_ += static_cast<std::size_t>(got);
  // A short read means the socket is drained: no further read until the next edge, unless the edge
  // told of its end as well. Source: epoll(7).
  comes_fast_ = static_cast<std::size_t>(got) == space;
  connection_->readable = connection_->hung_up || comes_fast_;
  return parse();
}

Intake Exchange::parse() {
  fresh_ = false;
  if (stage_ == Stage::Complete) return Intake::Ready;
  if (stage_ == Stage::Buffering) return after_body_bytes();
  if (begin_ == end_) return Intake::More;
  if (connection_->proxy_due) {
    if (const auto early = take_proxy_header()) return *early;
  }
  switch (parser_.feed({buffer_.get() + begin_, end_ - begin_})) {
    case http::h1::HeadParser::Status::NeedMore:
      return Intake::More;
    case http::h1::HeadParser::Status::Error:
      return Intake::Refused;
    case http::h1::HeadParser::Status::Done:
      return after_head();
  }
  return Intake::Refused;
}

// Takes the header off the front. @return what came of it when no request follows yet
std::optional<Intake> Exchange::take_proxy_header() {
  http::ProxyHeader header;
  const http::ProxyStatus status =
      http::read_proxy_header({buffer_.get() + begin_, end_ - begin_}, proxy_.mode, header);
  if (status == http::ProxyStatus::NeedMore) return Intake::More;
  connection_->proxy_due = false;
  if (status == http::ProxyStatus::Absent) return std::nullopt;
  if (!proxy_.from.contains(connection_->client)) {
    const std::string peer = heartbeat::text_of(connection_->client);
    return refuse(403, "Proxy request from '" + peer + "' not allowed");
  }
  if (status == http::ProxyStatus::Invalid) return refuse(400, std::move(header.fault));
  begin_ += header.bytes;
  if (header.known) name_ends(*connection_, std::move(header));
  return begin_ == end_ ? std::optional(Intake::More) : std::nullopt;
}

std::optional<Intake> Exchange::refuse(int status, std::string message) {
  own_refusal_ = http::Refusal{status, std::move(message)};
  return Intake::Refused;
}

Intake Exchange::after_head() {
  const http::RequestHead& request = head();
  const std::size_t body_at = begin_ + request.head_bytes;
  stage_ = Stage::Buffering;
  close_after = request.must_close;
  continue_owed_ = request.expect_continue && end_ == body_at;
  if (request.chunked) {
    next_ = body_at;
    chunks_left_ = true;
    return after_body_bytes();
  }
  const std::size_t here = std::min<std::uint64_t>(end_ - body_at, request.content_length);
  on_wire_ = request.content_length - here;
  if (on_wire_ <= capacity_ - end_) {  // the rest fits behind the head: no copy
    body_view_ = {buffer_.get() + body_at, here};
    next_ = body_at + here;
  } else {
    ahead_.assign(buffer_.get() + body_at, here);
    next_ = 0;
    end_ = body_at;
  }
  return after_body_bytes();
}

// More is read ahead while the client keeps us waiting: a thread of the application would wait as
// well. What comes fast goes past our memory.
bool Exchange::enough_ahead() {
  if (ahead_.size() < ahead_max()) return false;
  return comes_fast_ || !loan_.extend(kLoanStep, kLoanBytesMax);
}

// The whole body, or as much of it as is read ahead, makes the request ready.
Intake Exchange::after_body_bytes() {
  if (chunks_left_) return decode_ahead();
  if (next_ != 0 && on_wire_ > 0) {  // body grows inside buffer_
    const std::size_t here = std::min<std::uint64_t>(end_ - next_, on_wire_);
    body_view_ = {body_view_.data(), body_view_.size() + here};
    next_ += here;
    on_wire_ -= here;
  }
  if (next_ == 0) body_view_ = ahead_;
  if (on_wire_ > 0 && (next_ != 0 || !enough_ahead())) return Intake::More;
  stage_ = Stage::Complete;
  return Intake::Ready;
}

Intake Exchange::decode_ahead() {
  while (next_ < end_ && ahead_.size() < ahead_max()) {
    const auto step = decoder_.feed({buffer_.get() + next_, end_ - next_});
    ahead_.append(step.data);
    next_ += step.consumed;
    if (step.status == http::h1::ChunkedDecoder::Status::Done) {
      chunks_left_ = false;
      break;
    }
    if (step.status == http::h1::ChunkedDecoder::Status::Error) {
      malformed_ = true;
      chunks_left_ = false;
      break;
    }
  }
  if (chunks_left_ && next_ == end_) {  // all decoded: read the next bytes where these were
    next_ = end_ = begin_ + head().head_bytes;
  }
  body_view_ = ahead_;
  if (malformed_) return Intake::Refused;
  if (chunks_left_ && !enough_ahead()) return Intake::More;
  stage_ = Stage::Complete;
  return Intake::Ready;
}

const http::Refusal& Exchange::refusal() const {
  if (own_refusal_) return *own_refusal_;
  return malformed_ ? decoder_.refusal() : parser_.refusal();
}

// A body that outgrew the buffer, or came in chunks, is not as it was.
std::string_view Exchange::as_read() const {
  if (stage_ != Stage::Complete || next_ == 0 || head().chunked) return {};
  return {buffer_.get() + begin_, end_ - begin_};
}

void Exchange::begin_with(std::string_view bytes) {
  TRICORN_CHECK(end_ == 0 && bytes.size() <= capacity_);
  std::memcpy(buffer_.get(), bytes.data(), bytes.size());
  end_ = bytes.size();
}

bool Exchange::take_continue() { return std::exchange(continue_owed_, false); }

bool Exchange::body_taken() const { return on_wire_ == 0 && !chunks_left_ && !malformed_; }

void Exchange::next_request() {
  if (stage_ != Stage::Head) begin_ = next_ == 0 ? end_ : next_;
  if (begin_ == end_) begin_ = end_ = 0;
  next_ = 0;
  if (!fresh_) {
    parser_.reset();
    decoder_.reset();
  }
  fresh_ = true;
  stage_ = Stage::Head;
  malformed_ = false;
  slow_upload = slow_read = false;
  own_refusal_.reset();
  ahead_.clear();
  if (loan_.bytes() > 0) ahead_.shrink_to_fit();
  loan_.settle();
  body_view_ = {};
  on_wire_ = 0;
  chunks_left_ = false;
  continue_owed_ = false;
  close_after = false;
  failed = false;
  abandoned = false;
}

// ---- the application's side
// ------------------------------------------------------------------------------------------------

void Exchange::run_on(heartbeat::Slot& slot, heartbeat::AnswerMarks& marks) {
  slot_ = &slot;
  marks_ = &marks;
  lives_on_ = false;
  heartbeat::note_answer_begin(marks, connection_->written);
}

// No query string: it may hold what must not be logged.
std::string Exchange::request_so_far() const {
  if (head_done()) return std::string(head().method_text) + " " + std::string(head().path);
  std::string_view line(buffer_.get() + begin_, end_ - begin_);
  const std::size_t end = line.find("\r\n");
  const std::size_t method_end = line.find(' ');
  if (end == std::string_view::npos || method_end == std::string_view::npos || method_end > end)
    return {};
  const std::size_t path_end = line.find_first_of(" ?\r", method_end + 1);
  return std::string(line.substr(0, std::min(path_end, end)));
}

// ---- body
// ------------------------------------------------------------------------------------------

std::int64_t Exchange::remaining() const {
  if (chunks_left_ || malformed_) return -1;
  return static_cast<std::int64_t>(body_view_.size() + on_wire_);
}

BodyStatus Exchange::read(char* into, std::size_t bytes_max, std::size_t& got, const Gil& gil) {
  if (bytes_max == 0) return BodyStatus::End;
  if (!body_view_.empty()) {
    got = std::min(bytes_max, body_view_.size());
    std::memcpy(into, body_view_.data(), got);
    body_view_.remove_prefix(got);
    return BodyStatus::Data;
  }
  if (malformed_) return BodyStatus::Malformed;
  if (on_wire_ == 0 && !chunks_left_) return BodyStatus::End;
  heartbeat::note_phase(*slot_, heartbeat::Phase::ReadingBody, base::monotonic_ns());
  const BodyStatus status =
      chunks_left_ ? stream_chunked(into, bytes_max, got, gil) : stream(into, bytes_max, got, gil);
  slot_->bytes_in.store(slot_->bytes_in.load(std::memory_order_relaxed) + got,
                        std::memory_order_relaxed);
  heartbeat::note_phase(*slot_, heartbeat::Phase::Application, base::monotonic_ns());
  if (status != BodyStatus::Data && status != BodyStatus::End) close_after = true;
  if (status == BodyStatus::TimedOut) slow_upload = true;
  return status;
}

bool Exchange::wait_for_client(short events, int timeout_ms, const Gil& gil) const {
  const GilReleased released(gil);
  pollfd ready{connection_->fd, events, 0};
  int count;
  do {
    count = ::poll(&ready, 1, timeout_ms > 0 ? timeout_ms : -1);
  } while (count < 0 && errno == EINTR);
  return count > 0;
}

BodyStatus Exchange::stream(char* into, std::size_t bytes_max, std::size_t& got, const Gil& gil) {
  for (;;) {
    const std::ptrdiff_t taken = receive_into(into, std::min<std::uint64_t>(bytes_max, on_wire_));
    if (taken > 0) {
      got = static_cast<std::size_t>(taken);
      on_wire_ -= got;
      return BodyStatus::Data;
    }
    if (taken == 0 || !would_block(errno)) return BodyStatus::Truncated;
    if (!wait_for_client(POLLIN, timeouts_.body_ms, gil)) return BodyStatus::TimedOut;
  }
}

BodyStatus Exchange::stream_chunked(char* into, std::size_t bytes_max, std::size_t& got,
                                    const Gil& gil) {
  for (;;) {
    ahead_.clear();
    if (next_ < end_) {
      decode_ahead();
      if (!body_view_.empty()) {
        got = std::min(bytes_max, body_view_.size());
        std::memcpy(into, body_view_.data(), got);
        body_view_.remove_prefix(got);
        return BodyStatus::Data;
      }
      if (malformed_) return BodyStatus::Malformed;
      if (!chunks_left_) return BodyStatus::End;
    }
    if (next_ == end_) next_ = end_ = begin_ + head().head_bytes;
    const std::ptrdiff_t taken = receive_into(buffer_.get() + end_, capacity_ - end_);
    if (taken > 0) {
      end_ += static_cast<std::size_t>(taken);
    } else if (taken == 0 || !would_block(errno)) {
      return BodyStatus::Truncated;
    } else if (!wait_for_client(POLLIN, timeouts_.body_ms, gil)) {
      return BodyStatus::TimedOut;
    }
  }
}

// ---- response
// --------------------------------------------------------------------------------------

bool Exchange::begin() {
  if (heartbeat::claim_answer(*slot_)) return true;
  end_if_forked_copy(*slot_);
  return false;
}

void Exchange::append_own(std::string_view bytes) { keep(bytes, nullptr); }

// Adds bytes behind what already waits. Without an owner, or when they are few, they are copied.
void Exchange::keep(std::string_view bytes, PyObject* owner) {
  if (bytes.empty()) return;
  if (owner != nullptr && bytes.size() > kCopyBytesMax) {
    Py_INCREF(owner);
    segments_.push_back({owner, bytes, {}});
  } else if (!segments_.empty() && segments_.back().owner == nullptr &&
             segments_.back().copied.size() + bytes.size() <= kGatherBytes) {
    segments_.back().copied.append(bytes);
  } else {
    segments_.push_back({nullptr, {}, std::string(bytes)});
  }
  unsent_bytes_ += bytes.size();
}

bool Exchange::send(std::string_view head, PyObject* owner, std::string_view body,
                    std::string_view tail, bool last, const Gil& gil) {
  const std::size_t total = head.size() + body.size() + tail.size();
  std::size_t taken = 0;
  if (!last) note_progress(body.size());
  if (last) note_answer_end(unsent_bytes_ + total);
  connection_->corked =
      last && total <= kCorkedBytesMax && (connection_->may_wait || close_after || next_is_read());
  if (has_unsent() && flush() == Flush::Failed) return false;
  drop_garbage(gil);
  if (!has_unsent()) {
    const ssize_t sent_now =
        send_now(connection_->fd, head, body, tail, connection_->corked ? MSG_MORE : 0);
    if (sent_now < 0 && !would_block(errno) && errno != EINTR) return false;
    taken = static_cast<std::size_t>(std::max<ssize_t>(sent_now, 0));
    connection_->written += taken;
    if (taken == total) return true;
  }
  for (const auto& [bytes, holder] : {std::pair{head, static_cast<PyObject*>(nullptr)},
                                      {body, owner},
                                      {tail, static_cast<PyObject*>(nullptr)}}) {
    const std::size_t skipped = std::min(taken, bytes.size());
    taken -= skipped;
    keep(bytes.substr(skipped), holder);
  }
  return last || drain_below_limit(gil);
}

// That it gets on matters only for a response in parts.
void Exchange::note_progress(std::size_t body_bytes) {
  slot_->bytes_out.store(slot_->bytes_out.load(std::memory_order_relaxed) + body_bytes,
                         std::memory_order_relaxed);
  slot_->progress_ns.store(base::monotonic_ns(), std::memory_order_relaxed);
}

bool Exchange::drain_below_limit(const Gil& gil) {
  while (unsent_bytes_ > kUnsentBytesMax + loan_.bytes()) {
    if (loan_.extend(kLoanStep, kLoanBytesMax)) continue;
    heartbeat::note_phase(*slot_, heartbeat::Phase::Writing, base::monotonic_ns());
    if (!wait_for_client(POLLOUT, timeouts_.write_ms, gil)) {
      slow_read = true;
      return false;
    }
    if (flush() == Flush::Failed) return false;
  }
  heartbeat::note_phase(*slot_, heartbeat::Phase::Application, base::monotonic_ns());
  return true;
}

bool Exchange::send_file(std::string_view head, const gateway::wsgi::SendableFile& file,
                         const Gil& /*gil*/) {
  file_.reset(::fcntl(file.fd, F_DUPFD_CLOEXEC, 0));  // the application may close its own
  if (!file_.valid()) return false;
  file_offset_ = file.offset;
  file_bytes_ = file.bytes;
  keep(head, nullptr);
  note_answer_end(unsent_bytes_ + static_cast<std::uint64_t>(file.bytes));
  return flush() != Flush::Failed;
}

// ---- flushing
// --------------------------------------------------------------------------------------

// Before the last byte goes: if we are killed on the way out of that system call, the kernel's
// count still tells whether the client has its answer.
void Exchange::note_answer_end(std::uint64_t bytes_left) {
  if (lives_on_)  // as the head has promised
    heartbeat::note_answer_end(*marks_, connection_->written + bytes_left);
}

// A pipelined request follows, so its answer will too: the kernel may wait for that and send both
// at once. Loop::uncork() when it does not come at once.
bool Exchange::next_is_read() const { return lives_on_ && next_ != 0 && end_ > next_; }

bool Exchange::next_has_arrived() const {
  if (next_ != 0 ? end_ > next_ : has_input()) return true;
  char byte;
  return ::recv(connection_->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

void Exchange::sent(std::size_t bytes) {
  connection_->written += bytes;
  unsent_bytes_ -= bytes;
  while (bytes > 0) {
    Segment& segment = segments_.front();
    const std::size_t part = std::min(bytes, segment.unsent().size());
    segment.taken += part;
    bytes -= part;
    if (!segment.unsent().empty()) return;
    if (segment.owner != nullptr) garbage_.push_back(segment.owner);
    segments_.pop_front();
  }
}

Exchange::Flush Exchange::flush_segments() {
  while (unsent_bytes_ > 0) {
    std::array<iovec, kPiecesMax> pieces;
    std::size_t count = 0;
    for (; count < std::min(segments_.size(), kPiecesMax); ++count) {
      const std::string_view bytes = segments_[count].unsent();
      pieces[count] = {const_cast<char*>(bytes.data()), bytes.size()};
    }
    msghdr message{};
    message.msg_iov = pieces.data();
    message.msg_iovlen = count;
    const ssize_t now = ::sendmsg(connection_->fd, &message,
                                  MSG_NOSIGNAL | MSG_DONTWAIT | (file_.valid() ? MSG_MORE : 0));
    if (now < 0) {
      if (errno == EINTR) continue;
      return would_block(errno) ? Flush::Blocked : Flush::Failed;
    }
    sent(static_cast<std::size_t>(now));
  }
  return Flush::Done;
}

Exchange::Flush Exchange::flush_file() {
  while (file_bytes_ > 0) {
    const ssize_t now = ::sendfile(connection_->fd, file_.get(), &file_offset_,
                                   static_cast<std::size_t>(file_bytes_));
    if (now < 0 && errno == EINTR) continue;
    if (now < 0 && would_block(errno)) return Flush::Blocked;
    if (now <= 0)
      return Flush::Failed;  // 0: the file was cut short, so the promised length can't be kept
    file_bytes_ -= now;
    connection_->written += static_cast<std::uint64_t>(now);
  }
  file_.reset();
  return Flush::Done;
}

Exchange::Flush Exchange::flush() {
  const Flush segments = flush_segments();
  if (segments != Flush::Done || !file_.valid()) return segments;
  return flush_file();
}

// A long stream to a slow client must not keep what the client has.
void Exchange::drop_garbage(const Gil& /*gil*/) {
  if (garbage_.empty()) return;
  std::vector<PyObject*> mine;
  mine.swap(garbage_);  // a destructor may run Python
  for (PyObject* object : mine) Py_DECREF(object);
}

void Exchange::take_garbage(std::vector<PyObject*>& into) {
  if (garbage_.empty()) return;
  into.insert(into.end(), garbage_.begin(), garbage_.end());
  garbage_.clear();
}

void Exchange::drop_unsent() {
  for (const Segment& segment : segments_) {
    if (segment.owner != nullptr) garbage_.push_back(segment.owner);
  }
  segments_.clear();
  unsent_bytes_ = 0;
  file_.reset();
  file_bytes_ = 0;
}

}  // namespace tricorn::worker
