#include "diagnose/frames.h"

#include <gtest/gtest.h>

#include <string>

namespace tricorn::diagnose {
namespace {

TEST(StackFrom, readsRowsInnermostFirst) {
  const Stack stack =
      stack_from("8 boot.<locals>.load /srv/my app/site.py\n11 <module> /srv/a.py\n");
  ASSERT_EQ(stack.size(), 2U);
  EXPECT_EQ(stack[0], (PythonFrame{"/srv/my app/site.py", "boot.<locals>.load", 8}));
  EXPECT_EQ(stack[1], (PythonFrame{"/srv/a.py", "<module>", 11}));
}

constexpr auto kSite = "/srv/venv/lib/python3.11/site-packages/";
PythonFrame installed(const std::string& file) { return {kSite + file, "f", 1}; }
const PythonFrame kSocket{"/usr/lib/python3.11/socket.py", "readinto", 706};

TEST(PlaceIn, AnApplicationThatIsInstalledItselfIsFound) {
  const Stack stack = {kSocket, installed("urllib3/pool.py"), installed("shop/views.py"),
                       installed("django/core/handlers/base.py")};
  EXPECT_EQ(place_in(stack)->file, kSite + std::string("shop/views.py"));
  EXPECT_TRUE(has_application_code(stack));
}

TEST(PlaceIn, OneOutsideOfPackagesIsPreferred) {
  const Stack stack = {kSocket, installed("shop/client.py"), {"/srv/app.py", "view", 3}};
  EXPECT_EQ(place_in(stack)->file, "/srv/app.py");
}

TEST(PlaceIn, WithoutAnApplicationItIsTheInnermost) {
  const Stack stack = {kSocket, installed("urllib3/pool.py")};
  EXPECT_EQ(place_in(stack)->file, kSocket.file);
  EXPECT_FALSE(has_application_code(stack));
}

TEST(PlaceIn, ThisServersOwnCodeIsNeverThePersons) {
  const PythonFrame boot = {kSite + std::string("tricorn/boot.py"), "_boot_and_serve", 176};
  const PythonFrame hooks = {kSite + std::string("tricorn/hooks.py"), "call", 9};
  const PythonFrame from_sources = {"/srv/src/python/tricorn/boot.py", "_boot_and_serve", 176};
  EXPECT_EQ(place_in({boot}), nullptr);
  EXPECT_EQ(place_in({from_sources}), nullptr);
  EXPECT_EQ(place_in({hooks, boot}), nullptr);
  EXPECT_EQ(place_in({boot, {"<frozen runpy>", "_run_code", 88}}), nullptr);
  const Stack logging = {kSocket, hooks, boot};
  EXPECT_EQ(place_in(logging)->file, kSocket.file);
  const Stack own = {hooks, {"/srv/tricorn/views.py", "view", 3}, boot};
  EXPECT_EQ(place_in(own)->file, "/srv/tricorn/views.py");
  EXPECT_FALSE(has_application_code({hooks, boot}));
}

TEST(PlaceText, ATemplatesLineIsNotClaimedToBeInItsFile) {
  const auto text = [](const char* file) { return place_text({file, "root", 18}, "/srv"); };
  EXPECT_EQ(text("/srv/shop/app.py"), "shop/app.py:18");
  EXPECT_EQ(text("/srv/django.wsgi"), "django.wsgi:18");
  EXPECT_EQ(text("/srv/bin/serve"), "bin/serve:18");
  for (const char* name : {"invoice.html", "mail.txt", "feed.xml", "page.jinja", "x.html.j2"}) {
    EXPECT_EQ(text((std::string("/srv/templates/") + name).c_str()),
              std::string("templates/") + name + " (line 18 as compiled)");
  }
}

TEST(SourcePlaceIn, OfATemplateItIsTheLineThatRendersIt) {
  const PythonFrame part{"/srv/templates/row.html", "block", 9};
  const PythonFrame page{"/srv/templates/page.html", "root", 21};
  const PythonFrame view{"/srv/app.py", "view", 3};
  EXPECT_EQ(*source_place_in({kSocket, part, page, installed("jinja2/environment.py"), view}),
            view);
  EXPECT_EQ(*source_place_in({kSocket, part, page}), part) << "there is none";
  EXPECT_EQ(*source_place_in({kSocket, view}), view);
}

TEST(StackFrom, stopsWhereThePageEnded) {
  for (const char* text : {"8 load /srv/a.py\n11 <modu", "8 load /srv/a.py\n11 <module> ",
                           "8 load /srv/a.py\nx load /srv/b.py", "8 load /srv/a.py\n"}) {
    EXPECT_EQ(stack_from(text).size(), 1U) << text;
  }
  EXPECT_TRUE(stack_from("").empty());
}

TEST(Frames, AnInterpreterThatEndsIsKeptByItsThreads) {
  ProcessLook look;
  look.threads.resize(2);
  look.threads[0].stack = {{"/usr/lib/python3.11/threading.py", "_shutdown", 1590}};
  EXPECT_EQ(kept_by(look), nullptr);
  look.threads[1].stack = {{"/usr/lib/python3.11/threading.py", "Condition.wait", 327},
                           {"/srv/app/site.py", "watch", 15}};
  ASSERT_NE(kept_by(look), nullptr);
  EXPECT_EQ(kept_by(look)->line, 15);
  look.threads[0].stack = {{"/srv/app/site.py", "flush", 8}};
  EXPECT_EQ(kept_by(look), nullptr);
}

TEST(Frames, TheServersOwnFilesAreNoPlaceOfTheApplication) {
  const Stack missing = {{"/usr/lib/python3.11/importlib/__init__.py", "import_module", 126},
                         {"/srv/venv/lib/python3.11/site-packages/tricorn/apps.py", "load", 49},
                         {"/opt/build/python/tricorn/boot.py", "_load", 9}};
  EXPECT_FALSE(has_application_code(missing));
  EXPECT_TRUE(has_application_code({{"/srv/tricorn/site.py", "<module>", 1}}));
}

}  // namespace
}  // namespace tricorn::diagnose
