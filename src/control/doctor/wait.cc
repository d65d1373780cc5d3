#include "control/doctor/wait.h"

#include <fmt/format.h>

#include <array>

#include "control/doctor/text.h"

namespace tricorn::control::doctor {
namespace {

// The path with / throughout and one in front, so that "/redis/" is a folder wherever it stands.
std::string folders(std::string_view file) {
  std::string path = "/";
  for (const char c : file) path += c == '\\' ? '/' : c;
  return path;
}

bool is_package(std::string_view path) {
  return contains(path, "/site-packages/") || contains(path, "/dist-packages/");
}

// lib/python3.11/…, lib64/python2.7/…, lib/pypy3.9/…
bool is_standard_library(std::string_view path) {
  if (is_package(path)) return false;
  for (const std::string_view folder : {"/lib/python", "/lib64/python", "/lib/pypy"}) {
    const std::size_t at = path.find(folder);
    if (at == std::string_view::npos) continue;
    std::string_view rest = path.substr(at + folder.size());
    if (take_number(rest, 2)) return true;
  }
  return false;
}

bool is_gunicorn(std::string_view path) {
  const std::size_t at = path.rfind("/gunicorn/");
  if (at == std::string_view::npos) return path.ends_with("/bin/gunicorn");
  if (is_package(path)) return true;
  const std::string_view rest = path.substr(at + 10);
  for (const std::string_view part : {"workers/", "http/", "app/wsgiapp", "app/base", "arbiter.py",
                                      "util.py", "sock.py", "glogging.py", "asgi/", "config.py"})
    if (rest.starts_with(part)) return true;
  return false;
}

bool is_application(std::string_view file, std::string_view path) {
  return !file.starts_with('<') && !is_package(path) && !is_standard_library(path) &&
         !is_gunicorn(path);
}

bool is_handle_abort(const Frame& frame) { return frame.function == "handle_abort"; }

bool is_plain_layer(std::string_view path) {
  if (is_package(path) || !(is_standard_library(path) || path.rfind('/') == 0)) return false;
  for (const std::string_view name :
       {"/socket.py", "/ssl.py", "/selectors.py", "/threading.py", "/queue.py", "/Queue.py"})
    if (path.ends_with(name)) return true;
  return false;
}

struct Module {
  std::string_view folder;  ///< part of the path, from a package's folder on
  std::string_view wait;
};

constexpr Module kModules[] = {
    {"/http/client.py", "http_client"},
    {"/httplib.py", "http_client"},
    {"/urllib/request.py", "http_client"},
    {"/urllib2.py", "http_client"},
    {"/urllib3/", "http_client"},
    {"/requests/", "http_client"},
    {"/httpx/", "http_client"},
    {"/httpcore/", "http_client"},
    {"/httplib2/", "http_client"},
    {"/aiohttp/client", "http_client"},
    {"/botocore/", "http_client"},
    {"/smtplib.py", "smtp"},
    {"/aiosmtplib/", "smtp"},
    {"/psycopg/", "database"},
    {"/psycopg2/", "database"},
    {"/psycopg_pool/", "database"},
    {"/asyncpg/", "database"},
    {"/MySQLdb/", "database"},
    {"/pymysql/", "database"},
    {"/mysql/", "database"},
    {"/aiomysql/", "database"},
    {"/aiopg/", "database"},
    {"/sqlite3/", "database"},
    {"/oracledb/", "database"},
    {"/cx_Oracle/", "database"},
    {"/pyodbc", "database"},
    {"/sqlalchemy/", "database"},
    {"/django/db/", "database"},
    {"/pymongo/", "database"},
    {"/peewee.py", "database"},
    {"/redis/", "redis"},
    {"/aioredis/", "redis"},
    {"/simple_websocket/", "websocket"},
    {"/websockets/", "websocket"},
    {"/geventwebsocket/", "websocket"},
    {"/engineio/", "websocket"},
    {"/subprocess.py", "subprocess"},
    {"/dns/resolver.py", "dns"},
};

std::string_view told_by_module(std::string_view path) {
  for (const Module& module : kModules) {
    const std::size_t at = path.rfind(module.folder);
    if (at == std::string_view::npos) continue;
    // A folder of the application may have a package's name: only installed code counts, or a path
    // that begins there.
    if (is_package(path) || is_standard_library(path) || at == 0) return module.wait;
  }
  return {};
}

// A call of `name` that is the whole name: "sleep(" in "time.sleep(", not in "oversleep(".
bool calls(std::string_view line, std::string_view name) {
  for (std::size_t at = line.find(name); at != std::string_view::npos; at = line.find(name, at + 1))
    if (at == 0 || !is_word(line[at - 1]) || !is_word(name[0])) return true;
  return false;
}

// The expression before ".join(" or ".read(".
std::string_view receiver(std::string_view line, std::size_t dot) {
  std::size_t begin = dot;
  while (begin > 0 && (is_word(line[begin - 1]) || line[begin - 1] == '.')) --begin;
  return line.substr(begin, dot - begin);
}

bool waits_for_lock(std::string_view line) {
  if (contains(line, ".acquire(") || contains(line, ".wait(")) return true;
  if (line.starts_with("with ") && (contains(line, "lock:") || contains(line, "Lock:")))
    return true;
  for (std::size_t at = line.find(".join("); at != std::string_view::npos;
       at = line.find(".join(", at + 1)) {
    const std::string_view of = receiver(line, at);
    const bool text = at > 0 && (line[at - 1] == '"' || line[at - 1] == '\'');
    if (!text && !of.empty() && !of.ends_with("path") && !of.ends_with("sep") && of != "''")
      return true;
  }
  return false;
}

bool reads_file(std::string_view line) {
  for (std::size_t at = line.find("open("); at != std::string_view::npos;
       at = line.find("open(", at + 1)) {
    if (at == 0) return true;
    if (line[at - 1] != '.') {
      if (!is_word(line[at - 1])) return true;
      continue;
    }
    const std::string_view of = receiver(line, at - 1);
    for (const std::string_view name :
         {"io", "os", "codecs", "gzip", "bz2", "lzma", "path", "Path", "Image", "tarfile",
          "zipfile", "storage", "default_storage"})
      if (of == name || of.ends_with("." + std::string(name)) || (of.empty() && name == "Path"))
        return true;
  }
  for (std::size_t at = line.find(".read("); at != std::string_view::npos;
       at = line.find(".read(", at + 1)) {
    const std::string_view whole = receiver(line, at);
    const std::string_view of = whole.substr(whole.rfind('.') + 1);
    if (of == "f" || of == "fh" || of == "fp" || of == "fd" || of == "handle" ||
        of.ends_with("file") || of.ends_with("File"))
      return true;
  }
  return false;
}

constexpr std::string_view kSleepCall = "sleep\x28";  // what tools/tidy.py forbids us to call

std::string_view told_by_source(std::string_view line) {
  if (line.empty()) return {};
  if (contains(line, ".execute(")) return "database";
  for (const std::string_view name :
       {"psycopg2.connect(", "psycopg.connect(", "sqlite3.connect(", "pyodbc.connect(",
        "oracledb.connect(", "cx_Oracle.connect(", "pymysql.connect(", "MySQLdb.connect("})
    if (contains(line, name)) return "database";
  if (contains(line, "getaddrinfo")) return "dns";
  if (calls(line, kSleepCall)) return "sleep";
  for (const std::string_view name : {"subprocess.run(", "subprocess.call(", "check_output(",
                                      "check_call(", ".communicate(", "os.system(", "os.popen("})
    if (contains(line, name)) return "subprocess";
  for (const std::string_view name : {"requests.get(", "requests.post(", "requests.request(",
                                      "requests.put(", "requests.delete(", "httpx.", "urlopen("})
    if (contains(line, name)) return "http_client";
  if (contains(line, "smtplib.")) return "smtp";
  if (waits_for_lock(line)) return "lock";
  if (contains(line, ".recv(") || contains(line, ".connect(") || contains(line, ".accept("))
    return "socket";
  if (reads_file(line)) return "file";
  return {};
}

// The innermost frame that is not the signal handler itself; nullptr when there is none.
const Frame* innermost(const Traceback& traceback) {
  for (auto frame = traceback.frames.rbegin(); frame != traceback.frames.rend(); ++frame)
    if (!is_handle_abort(*frame)) return &*frame;
  return nullptr;
}

// Without what stands between quotes.
std::string without_texts(std::string_view line) {
  std::string out;
  char quote = 0;
  for (std::size_t at = 0; at < line.size(); ++at) {
    const char c = line[at];
    if (quote != 0 && c == '\\')
      ++at;
    else if (quote == 0 && c == '#')
      break;
    else if (c == quote)
      quote = 0;
    else if (quote == 0 && (c == '"' || c == '\''))
      quote = c;
    else if (quote == 0)
      out += c;
  }
  return out;
}

bool has_call(std::string_view code) {
  for (std::size_t at = code.find('('); at != std::string_view::npos; at = code.find('(', at + 1)) {
    std::size_t end = at;
    while (end > 0 && code[end - 1] == ' ') --end;
    if (end == 0) continue;
    if (code[end - 1] == ')' || code[end - 1] == ']') return true;
    std::size_t begin = end;
    while (begin > 0 && is_word(code[begin - 1])) --begin;
    const std::string_view name = code.substr(begin, end - begin);
    bool keyword = name.empty();
    for (const std::string_view word : {"if", "elif", "while", "in", "return", "and", "or", "not",
                                        "yield", "is", "else", "for", "print", "lambda", "assert"})
      keyword |= name == word;
    if (!keyword) return true;
  }
  return false;
}

// No call, yet it may wait or run something else.
bool may_wait_without_call(std::string_view code) {
  for (const std::string_view word :
       {"await ", "yield ", "async ", "import ", "with ", "def ", "class "})
    if (code.starts_with(word) || contains(code, " " + std::string(word))) return true;
  if (code.starts_with("from ") || code.starts_with("@")) return true;
  const std::size_t in = code.starts_with("for ") ? code.rfind(" in ") : std::string_view::npos;
  if (in == std::string_view::npos) return false;
  std::string_view over = code.substr(in + 4);
  while (over.ends_with(':') || over.ends_with(' ')) over.remove_suffix(1);
  const std::string_view bare = over.substr(over.rfind('.') + 1);
  for (const std::string_view name :
       {"cursor", "cur", "sock", "stream", "response", "resp", "f", "fh", "file", "queryset", "qs",
        "stdout", "stderr", "conn", "pubsub"})
    if (bare == name) return true;
  return false;
}

bool is_operator(std::string_view marked) {
  marked = trimmed(marked);
  if (marked.empty() || marked.find('(') != std::string_view::npos) return false;
  if (marked == "and" || marked == "or" || marked == "in" || marked == "not in") return true;
  return marked.find_first_of("+-*/%@&|^<>=~[") != std::string_view::npos;
}

bool is_computing_library(std::string_view path) {
  if (!is_package(path)) return false;
  for (const std::string_view name : {"/numpy/", "/pandas/", "/scipy/", "/sklearn/", "/torch/",
                                      "/tensorflow/", "/PIL/", "/sympy/", "/networkx/", "/numba/"})
    if (contains(path, name)) return true;
  return false;
}

std::string place_of(const Frame& frame) {
  return fmt::format("{}:{} in {}", frame.file, frame.line,
                     frame.function.empty() ? "<module>" : frame.function);
}

}  // namespace

bool is_abort(const Traceback& traceback) {
  const Frame& last = traceback.frames.back();
  for (const Frame& frame : traceback.frames)
    if (is_handle_abort(frame)) return true;
  if (traceback.exception != "SystemExit") return false;
  const std::string path = folders(last.file);
  const bool exits = calls(last.source, "exit(") || contains(last.source, "SystemExit");
  return !(exits && !is_gunicorn(path));
}

std::string stack_line(const Traceback& traceback) {
  const Frame* third_party = nullptr;
  for (auto frame = traceback.frames.rbegin(); frame != traceback.frames.rend(); ++frame) {
    const std::string path = folders(frame->file);
    if (is_handle_abort(*frame) || is_gunicorn(path)) continue;
    if (is_application(frame->file, path)) return place_of(*frame);
    if (third_party == nullptr && is_package(path)) third_party = &*frame;
  }
  return third_party == nullptr ? "" : place_of(*third_party);
}

std::string_view blocked_in(const Traceback& traceback) {
  const Frame* first = innermost(traceback);
  if (first == nullptr) return {};
  bool only_plain = true;
  for (auto frame = traceback.frames.rbegin(); frame != traceback.frames.rend(); ++frame) {
    if (is_handle_abort(*frame)) continue;
    const std::string path = folders(frame->file);
    if (is_gunicorn(path)) {
      // Its own reader waits for the client, which is another finding.
      if (&*frame == first) return {};
      break;
    }
    // Resolving a name is a wait of its own, whichever layer asked for it.
    if (frame->function == "getaddrinfo" || contains(frame->function, "gethostby")) return "dns";
    if (is_plain_layer(path)) continue;
    only_plain = false;
    if (const std::string_view wait = told_by_module(path); !wait.empty()) return wait;
    if (const std::string_view wait = told_by_source(frame->source); !wait.empty()) return wait;
  }
  const std::string path = folders(first->file);
  if (!is_plain_layer(path)) return {};
  if (path.ends_with("/threading.py") || path.ends_with("ueue.py")) return "lock";
  if (path.ends_with("/selectors.py") && !only_plain) return {};
  for (const Frame& frame : traceback.frames)
    if (is_gunicorn(folders(frame.file)) && is_gunicorn_reading(traceback)) return {};
  return "socket";
}

bool is_cpu_bound(const Traceback& traceback) {
  const Frame* frame = innermost(traceback);
  if (frame == nullptr || frame->source.empty()) return false;
  const std::string path = folders(frame->file);
  if (!is_application(frame->file, path) && !is_computing_library(path)) return false;
  const std::string code = without_texts(frame->source);
  if (may_wait_without_call(code)) return false;
  return frame->caret.empty() || frame->caret.size() == frame->source.size()
             ? !has_call(code)
             : is_operator(without_texts(frame->caret)) || !has_call(code);
}

bool is_gunicorn_reading(const Traceback& traceback) {
  for (auto frame = traceback.frames.rbegin(); frame != traceback.frames.rend(); ++frame) {
    const std::string path = folders(frame->file);
    if (is_handle_abort(*frame) || is_plain_layer(path)) continue;
    return is_gunicorn(path) && contains(path, "/gunicorn/http/");
  }
  return false;
}

bool is_loading(const Traceback& traceback) {
  bool loading = false;
  for (const Frame& frame : traceback.frames) {
    if (!is_gunicorn(folders(frame.file))) continue;
    for (const std::string_view name :
         {"load_wsgiapp", "import_app", "load_wsgi", "load_class",
          "load_config_from_module_name_or_filename", "load_config_from_file",
          "get_config_from_filename", "get_config_from_module_name"})
      loading |= frame.function == name;
    if (frame.function == "handle_request" || frame.function == "handle") return false;
  }
  return loading;
}

}  // namespace tricorn::control::doctor
