#include "diagnose/frames.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace tricorn::diagnose {
namespace {

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

std::string_view last_component(std::string_view path) { return path.substr(path.rfind('/') + 1); }

/// Files of this server that load applications or call them, wherever it is installed.
bool is_own(std::string_view file) {
  static constexpr auto kFiles = std::to_array<std::string_view>(
      {"/tricorn/apps.py", "/tricorn/boot.py", "/tricorn/hooks.py", "/tricorn/reloader.py",
       "/tricorn/spawner.py", "/tricorn/compat/app/base.py", "/tricorn/compat/app/wsgiapp.py"});
  return std::any_of(kFiles.begin(), kFiles.end(),
                     [&](std::string_view own) { return file.ends_with(own); });
}

/// This server's own Python: never the person's code.
bool is_servers(const PythonFrame& frame) {
  return is_own(frame.file) || has(frame.file, "-packages/tricorn/");
}

/// Code that came with the interpreter, an installed package, or this server.
bool is_library(const PythonFrame& frame) {
  const std::string_view file = frame.file;
  return file.empty() || file[0] == '<' || has(file, "/site-packages/") ||
         has(file, "/dist-packages/") || has(file, "/lib/python3") || has(file, "/lib64/python3") ||
         is_servers(frame);
}

/// Installed packages that call applications or are called by them, so that what is left of a stack
/// is the application, if that is installed too.
bool is_known_package(const PythonFrame& frame) {
  static constexpr auto kPackages = std::to_array<std::string_view>(
      {"/aiohttp/",        "/anyio/",      "/asgiref/",      "/asyncpg/",      "/bottle.py",
       "/boto3/",          "/botocore/",   "/celery/",       "/cherrypy/",     "/django/",
       "/falcon/",         "/flask/",      "/gevent/",       "/grpc/",         "/httpcore/",
       "/httplib2/",       "/httpx/",      "/jinja2/",       "/kombu/",        "/mysql/",
       "/MySQLdb/",        "/numpy/",      "/oracledb/",     "/pandas/",       "/peewee.py",
       "/pg8000/",         "/psycopg/",    "/psycopg2/",     "/psycopg_pool/", "/pymemcache/",
       "/pymongo/",        "/pymysql/",    "/pyramid/",      "/redis/",        "/requests/",
       "/rest_framework/", "/s3transfer/", "/sentry_sdk/",   "/sqlalchemy/",   "/starlette/",
       "/tornado/",        "/urllib3/",    "/webob/",        "/werkzeug/",     "/whitenoise/",
       "/newrelic/",       "/ddtrace/",    "/opentelemetry/"});
  const bool installed = has(frame.file, "/site-packages/") || has(frame.file, "/dist-packages/");
  return !installed || is_servers(frame) ||
         std::any_of(kPackages.begin(), kPackages.end(),
                     [&](std::string_view package) { return has(frame.file, package); });
}

/// The folder or module below site-packages that a frame is of; empty: none.
std::string_view package_of(const PythonFrame& frame) {
  constexpr std::string_view kPackages = "-packages/";
  const std::size_t at = frame.file.rfind(kPackages);
  if (at == std::string::npos || is_servers(frame)) return "";
  const std::string_view path = std::string_view(frame.file).substr(at + kPackages.size());
  return path.substr(0, path.find_first_of("/."));
}

/// Whether lines are counted in the file itself. A template's are those of the Python module that
/// it was compiled to.
bool is_python_source(std::string_view file) {
  static constexpr auto kEndings = std::to_array<std::string_view>(
      {"py", "pyw", "pyx", "pxd", "pxi", "pyc", "so", "wsgi", "cgi", "fcgi"});
  const std::string_view name = last_component(file);
  const std::size_t dot = name.rfind('.');
  if (dot == std::string_view::npos || name.starts_with('<') || name.ends_with('>')) return true;
  return std::find(kEndings.begin(), kEndings.end(), name.substr(dot + 1)) != kEndings.end();
}

/// Whether a frame is the one this server calls the application from.
bool calls_application(const PythonFrame& frame) {
  return frame.file.ends_with("/tricorn/boot.py") && frame.function == "_boot_and_serve";
}

bool named(std::string_view function, std::string_view wanted) {
  if (!function.ends_with(wanted)) return false;
  return function.size() == wanted.size() || function[function.size() - wanted.size() - 1] == '.';
}

}  // namespace

const PythonFrame* place_in(const Stack& stack) {
  // What is further out than that has called this server.
  const auto end = std::find_if(stack.begin(), stack.end(), calls_application);
  const auto first = [&](const auto& holds) {
    const auto found = std::find_if(stack.begin(), end, holds);
    return found == end ? nullptr : &*found;
  };
  if (const auto* own = first([](const auto& frame) { return !is_library(frame); })) return own;
  const auto* installed = first([](const auto& frame) { return !is_known_package(frame); });
  return installed != nullptr ? installed
                              : first([](const auto& frame) { return !is_servers(frame); });
}

const PythonFrame* source_place_in(const Stack& stack) {
  const PythonFrame* place = place_in(stack);
  if (place == nullptr || is_python_source(place->file)) return place;
  const auto source = std::find_if(
      stack.begin() + (place - stack.data()), stack.end(),
      [](const PythonFrame& frame) { return !is_library(frame) && is_python_source(frame.file); });
  return source == stack.end() ? place : &*source;
}

bool has_application_code(const Stack& stack) {
  return !std::all_of(stack.begin(), stack.end(), [](const PythonFrame& frame) {
    return is_library(frame) && is_known_package(frame);
  });
}

bool is_asyncio(const PythonFrame& frame) {
  const std::string_view file = frame.file;
  return file.substr(0, file.rfind('/') + 1).ends_with("/asyncio/") && is_library(frame) &&
         !has(file, "-packages/");
}

bool is_waiting_event_loop(const Stack& stack) {
  if (stack.size() < 2) return false;
  const PythonFrame& front = stack.front();
  const std::string_view file = last_component(front.file);
  if (file == "selectors.py") return named(front.function, "select") && is_asyncio(stack[1]);
  return is_asyncio(front) && file == "runners.py" && named(front.function, "run");
}

std::size_t sent_back_by_coroutine(const Stack& stack) {
  const auto of_executor = [](const PythonFrame& frame, std::string_view function) {
    return frame.file.ends_with("/asgiref/current_thread_executor.py") &&
           named(frame.function, function);
  };
  for (std::size_t i = 0; i < stack.size(); ++i) {
    if (of_executor(stack[i], "run")) return i;
    if (of_executor(stack[i], "run_until_future")) return 0;
  }
  return 0;
}

Stack without_server(Stack stack) {
  const auto boot = std::find_if(stack.begin(), stack.end(), calls_application);
  // A stack that is the server's alone stays whole: it is all there is to see.
  if (boot != stack.begin()) stack.erase(boot, stack.end());
  return stack;
}

Stack stack_from(std::string_view text) {
  Stack stack;
  while (!text.empty()) {
    const std::string_view row = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(row.size() + 1, text.size()));
    const std::size_t function_at = row.find(' ') + 1;
    const std::size_t file_at = row.find(' ', function_at) + 1;
    PythonFrame frame;
    const auto parsed = std::from_chars(row.data(), row.data() + row.size(), frame.line);
    const bool whole = parsed.ec == std::errc{} && function_at > 1 && file_at > function_at;
    if (!whole || file_at == row.size()) break;
    frame.function = row.substr(function_at, file_at - 1 - function_at);
    frame.file = row.substr(file_at);
    stack.push_back(std::move(frame));
  }
  return stack;
}

std::string place_text(const PythonFrame& frame, std::string_view app_directory) {
  std::string_view file = frame.file;
  const bool below = !app_directory.empty() && file.size() > app_directory.size() &&
                     file.starts_with(app_directory) &&
                     (app_directory.ends_with('/') || file[app_directory.size()] == '/');
  if (below && !is_library(frame)) {
    file.remove_prefix(app_directory.size());
    file.remove_prefix(std::min(file.find_first_not_of('/'), file.size()));
  } else {
    file = last_component(file);
  }
  const char* form = is_python_source(file) ? "{}:{}" : "{} (line {} as compiled)";
  return fmt::format(fmt::runtime(form), file, frame.line);
}

std::string library_text(const PythonFrame& frame) {
  constexpr std::string_view kPackages = "-packages/";
  const std::size_t at = frame.file.rfind(kPackages);
  if (at == std::string::npos) return place_text(frame, "");
  return fmt::format("{}:{}", std::string_view(frame.file).substr(at + kPackages.size()),
                     frame.line);
}

std::string_view database_in(const Stack& stack) {
  // Folders and files of the drivers as pip installs them.
  using Driver = std::pair<std::string_view, std::string_view>;
  static constexpr std::array<Driver, 17> kDrivers = {{
      {"/psycopg2/", "PostgreSQL"},
      {"/psycopg/", "PostgreSQL"},
      {"/asyncpg/", "PostgreSQL"},
      {"/pg8000/", "PostgreSQL"},
      {"/MySQLdb/", "MySQL"},
      {"/pymysql/", "MySQL"},
      {"/mysql/connector/", "MySQL"},
      {"/redis/", "Redis"},
      {"/pymongo/", "MongoDB"},
      {"/pymemcache/", "memcached"},
      {"/pylibmc/", "memcached"},
      {"/bmemcached/", "memcached"},
      {"/cx_Oracle/", "Oracle"},
      {"/oracledb/", "Oracle"},
      {"/pymssql/", "SQL Server"},
      {"/cassandra/", "Cassandra"},
      {"/memcache.py", "memcached"},
  }};
  for (const PythonFrame& frame : stack) {
    for (const auto& [part, name] : kDrivers) {
      if (has(frame.file, part)) return name;
    }
    if (!is_library(frame)) break;  // what lies outside of the application's own frame calls it
  }
  return "";
}

bool waits_in(const Stack& stack, std::string_view file, std::string_view function) {
  for (const PythonFrame& frame : stack) {
    if (!is_library(frame)) return false;
    const bool same_file =
        has(file, "/") ? has(frame.file, file) : last_component(frame.file) == file;
    if (same_file && (function.empty() || named(frame.function, function))) return true;
  }
  return false;
}

std::string_view pool_in(const Stack& stack) {
  struct Pool {
    std::string_view file, function, name;
  };
  static constexpr auto kPools = std::to_array<Pool>({
      {"/sqlalchemy/pool/", "_do_get", "SQLAlchemy"},
      {"/psycopg_pool/", "getconn", "psycopg_pool"},
      {"/urllib3/connectionpool.py", "_get_conn", "urllib3"},
      {"/redis/connection.py", "get_connection", "redis-py"},
      {"/redis/asyncio/connection.py", "get_connection", "redis-py"},
      {"/asyncpg/pool.py", "", "asyncpg"},
      {"/aiohttp/connector.py", "_wait_for_available_connection", "aiohttp"},
      {"/pymongo/", "_get_conn", "PyMongo"},
      {"/httpcore/_sync/connection_pool.py", "wait_for_connection", "HTTPX"},
      {"/httpcore/_async/connection_pool.py", "wait_for_connection", "HTTPX"},
  });
  const auto found = std::find_if(kPools.begin(), kPools.end(), [&](const Pool& pool) {
    return waits_in(stack, pool.file, pool.function);
  });
  return found == kPools.end() ? std::string_view{} : found->name;
}

std::string_view package_that_waits(const Stack& stack) {
  for (const PythonFrame& frame : stack) {
    if (!is_library(frame)) return "";
    if (const auto name = package_of(frame); !name.empty()) return name;
  }
  return "";
}

std::string_view package_of_thread(const Stack& stack) {
  std::string_view outermost;
  for (const PythonFrame& frame : stack) {
    if (!is_library(frame) || is_servers(frame)) return "";
    if (const auto name = package_of(frame); !name.empty()) outermost = name;
  }
  return outermost;
}

const PythonFrame* kept_by(const ProcessLook& look) {
  // Joins every thread that is no daemon. Source: CPython Lib/threading.py
  const auto waits = [](const Stack& stack) {
    return waits_in(stack, "/threading.py", "_shutdown");
  };
  if (look.threads.empty() || !waits(look.threads[0].stack)) return nullptr;
  for (auto thread = look.threads.begin() + 1; thread != look.threads.end(); ++thread) {
    if (has_application_code(thread->stack)) return place_in(thread->stack);
  }
  return nullptr;
}

bool is_start(const Stack& stack) {
  using Place = std::pair<std::string_view, std::string_view>;
  static constexpr std::array<Place, 5> kStarts = {{
      {"/threading.py", "start"},
      {"/subprocess.py", "_execute_child"},
      {"/multiprocessing/process.py", "start"},
      {"/concurrent/futures/thread.py", "_adjust_thread_count"},
      {"/multiprocessing/popen_fork.py", "_launch"},
  }};
  constexpr std::size_t kInnermost = 4;
  const auto end = stack.begin() + static_cast<std::ptrdiff_t>(std::min(stack.size(), kInnermost));
  return std::any_of(stack.begin(), end, [](const PythonFrame& frame) {
    return std::any_of(kStarts.begin(), kStarts.end(), [&](const Place& start) {
      return frame.file.ends_with(start.first) && named(frame.function, start.second);
    });
  });
}

}  // namespace tricorn::diagnose
