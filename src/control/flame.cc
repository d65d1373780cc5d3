#include "control/flame.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

namespace tricorn::control {
namespace {

using Json = nlohmann::ordered_json;

std::vector<std::string_view> frames_of(std::string_view stack) {
  std::vector<std::string_view> frames;
  while (!stack.empty()) {
    const std::size_t end = std::min(stack.find(';'), stack.size());
    frames.push_back(stack.substr(0, end));
    stack.remove_prefix(std::min(end + 1, stack.size()));
  }
  return frames;
}

/// "view (app.py:12)" as speedscope wants it; a frame without a place has its name alone.
Json frame_json(std::string_view frame) {
  Json json = {{"name", frame}};
  const std::size_t open = frame.rfind(" (");
  const std::size_t colon = frame.rfind(':');
  if (open == std::string_view::npos || colon == std::string_view::npos || colon < open ||
      !frame.ends_with(')'))
    return json;
  int line = 0;
  const std::string_view digits = frame.substr(colon + 1, frame.size() - colon - 2);
  if (std::from_chars(digits.data(), digits.data() + digits.size(), line).ec != std::errc{})
    return json;
  json["name"] = frame.substr(0, open);
  json["file"] = frame.substr(open + 2, colon - open - 2);
  json["line"] = line;
  return json;
}

std::string text_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// One box of the flame graph.
struct Node {
  std::int64_t ms = 0;
  std::map<std::string, std::unique_ptr<Node>, std::less<>> callees;
};

std::size_t depth_of(const Node& node) {
  std::size_t depth = 0;
  for (const auto& [name, callee] : node.callees) depth = std::max(depth, depth_of(*callee));
  return depth + 1;
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else {
      out += static_cast<unsigned char>(c) < 0x20 ? '?' : c;
    }
  }
  return out;
}

constexpr double kWidth = 1200;
constexpr double kRow = 17;
constexpr double kTop = 30;
constexpr double kLetter = 6.6;     // of the monospaced text below, 11 px
constexpr double kNarrowest = 0.2;  // boxes below are not drawn: a browser cannot show them
constexpr std::size_t kDepthMax = 250;

/// The beginning of a name that fits a box, whole characters only.
std::string fitting(std::string_view name, double width) {
  const auto letters = static_cast<std::size_t>(std::max(0.0, (width - 6) / kLetter));
  if (letters < 3) return "";
  if (name.size() <= letters) return escaped(name);
  std::size_t end = letters - 2;
  while (end > 0 && (name[end] & 0xC0) == 0x80) --end;
  return escaped(name.substr(0, end)) + "..";
}

/// A warm colour, the same for the same name.
std::string colour_of(std::string_view name) {
  std::uint32_t hash = 2166136261;  // Source: FNV-1a
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619;
  return fmt::format("hsl({},{}%,{}%)", 8 + hash % 42, 70 + hash / 64 % 20, 58 + hash / 4096 % 12);
}

void draw(std::string& out, const Node& node, double left, std::size_t level, std::int64_t total) {
  if (level >= kDepthMax) return;
  for (const auto& [name, callee] : node.callees) {
    const double width = kWidth * static_cast<double>(callee->ms) / static_cast<double>(total);
    const double top = kTop + kRow * static_cast<double>(level);
    if (width >= kNarrowest) {
      out += fmt::format(
          "<g><title>{} - {:.1f} s, {:.1f}%</title><rect x=\"{:.1f}\" y=\"{:.0f}\" "
          "width=\"{:.1f}\" "
          "height=\"{:.0f}\" fill=\"{}\"/><text x=\"{:.1f}\" y=\"{:.0f}\">{}</text></g>\n",
          escaped(name), static_cast<double>(callee->ms) / 1000,
          100.0 * static_cast<double>(callee->ms) / static_cast<double>(total), left, top,
          std::max(width - 0.5, kNarrowest), kRow - 1, colour_of(name), left + 3, top + 12,
          fitting(name, width));
      draw(out, *callee, left, level + 1, total);
    }
    left += width;
  }
}

}  // namespace

base::Result<Stacks> stacks_of(const Json& data) {
  const auto found = data.is_object() ? data.find("stacks") : data.end();
  if (!data.is_object() || found == data.end() || !found->is_object())
    return base::fail("there are no samples in it: only profiles and slow requests have them");
  Stacks stacks;
  for (const auto& [stack, ms] : found->items()) {
    if (ms.is_number_integer()) stacks[stack] += ms.get<std::int64_t>();
  }
  return stacks;
}

std::string collapsed_text(const Stacks& stacks) {
  std::string out;
  for (const auto& [stack, ms] : stacks) out += fmt::format("{} {}\n", stack, ms);
  return out;
}

std::string speedscope_json(std::string_view name, const Stacks& stacks) {
  std::map<std::string, std::size_t, std::less<>> indices;
  Json frames = Json::array(), samples = Json::array(), weights = Json::array();
  std::int64_t total = 0;
  for (const auto& [stack, ms] : stacks) {
    Json sample = Json::array();
    for (const std::string_view frame : frames_of(stack)) {
      const auto [known, fresh] = indices.emplace(frame, indices.size());
      if (fresh) frames.push_back(frame_json(frame));
      sample.push_back(known->second);
    }
    samples.push_back(sample);
    weights.push_back(ms);
    total += ms;
  }
  const Json profile = {{"type", "sampled"}, {"name", name},      {"unit", "milliseconds"},
                        {"startValue", 0},   {"endValue", total}, {"samples", samples},
                        {"weights", weights}};
  return text_of({{"$schema", "https://www.speedscope.app/file-format-schema.json"},
                  {"exporter", "tricornctl"},
                  {"name", name},
                  {"activeProfileIndex", 0},
                  {"shared", {{"frames", frames}}},
                  {"profiles", Json::array({profile})}}) +
         "\n";
}

std::string flame_svg(std::string_view title, const Stacks& stacks) {
  Node root;
  for (const auto& [stack, ms] : stacks) {
    root.ms += ms;
    Node* node = &root;
    for (const std::string_view frame : frames_of(stack)) {
      auto& callee = node->callees[std::string(frame)];
      if (callee == nullptr) callee = std::make_unique<Node>();
      callee->ms += ms;
      node = callee.get();
    }
  }
  const double height = kTop + kRow * static_cast<double>(std::min(depth_of(root), kDepthMax)) + 10;
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" width=\"{0:.0f}\" "
      "height=\"{1:.0f}\" font-family=\"monospace\" font-size=\"11\">\n<style>g:hover "
      "rect{{stroke:#000}}"
      "text{{pointer-events:none}}</style>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
      "<text x=\"3\" y=\"18\" font-size=\"14\">{2}</text>\n",
      kWidth, height, escaped(title));
  if (root.ms > 0) draw(out, root, 0, 0, root.ms);
  if (root.ms == 0) out += "<text x=\"3\" y=\"44\">no Python code was seen</text>\n";
  return out + "</svg>\n";
}

base::Result<std::string> in_format(std::string_view format, std::string_view title,
                                    const Stacks& stacks) {
  if (format == "collapsed") return collapsed_text(stacks);
  if (format == "speedscope") return speedscope_json(title, stacks);
  if (format == "svg") return flame_svg(title, stacks);
  return base::fail(fmt::format("--format must be svg, speedscope or collapsed, not '{}'", format));
}

}  // namespace tricorn::control
