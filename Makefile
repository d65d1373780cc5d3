# The commands for people and for CI. `make run` and `make test` do all set-up themselves.
PYTHON ?= $(firstword $(shell sh tools/pythons.sh))
SECOND_PYTHON ?= $(word 2,$(shell sh tools/pythons.sh))
PORT ?= 8000
JOBS ?= $(shell nproc)
FUZZ_SECONDS ?= 60
ROLLING_ROUNDS ?= 200
FUZZ_TARGETS ?= h1_head h1_chunked proxy_header settings doctor
# What depends on the Python: the application, its frames and its end.
SECOND_TESTS ?= $(patsubst %,tests/blackbox/test_%.py,timeouts deaths boots flask django environ pep3333)
# Most tests wait, so more of them than CPUs run at a time.
PYTEST_OPTIONS ?= -q --timeout 120 -n 4
# What failed beside other tests runs again with the machine to itself, and has to pass there: $(call pytest,VENV,TESTS)
pytest = $(1)/bin/pytest $(PYTEST_OPTIONS) $(2) || { echo "Again, alone:"; $(1)/bin/pytest -q --timeout 120 --last-failed $(2); }

.PHONY: setup run test unit asan tsan lint differential differential-gunicorn differential-short probe blackbox blackbox-second hangs bench fuzz soak rolling suites docs format clean

setup:  ## build Tricorn into .venv (idempotent)
	@test -n "$(PYTHON)" || { echo "No CPython 3.10 or later with headers and venv: apt-get install python3-dev python3-venv"; exit 1; }
	@sh tools/setup.sh .venv $(PYTHON)

run: setup  ## serve the example on 127.0.0.1:8000
	@sh examples/orders/run.sh $(PORT)

test: export WITH_TEST_PACKAGES = 1
test: setup lint asan differential differential-short probe blackbox blackbox-second  ## every rung that fits in 20 minutes
	@echo "make test: all passed"

lint:  ## style, layers, size
	.venv/bin/ruff check -q python examples tools
	.venv/bin/ruff check -q --select F tests
	$(PYTHON) tools/check_layers.py
	$(PYTHON) tools/tidy.py

unit:  ## C++ unit and protocol tests, the fastest way
	cmake --preset dev -DPython_EXECUTABLE=$(PYTHON) $(CCACHE) >/dev/null
	cmake --build --preset dev -j $(JOBS)
	ctest --preset dev -j $(JOBS) --output-on-failure --progress

asan:  ## C++ unit and protocol tests under address and undefined-behaviour sanitizers
	cmake --preset asan $(CCACHE) >/dev/null
	cmake --build --preset asan -j $(JOBS)
	ctest --preset asan -j $(JOBS) --output-on-failure --progress

tsan:  ## C++ unit and protocol tests under the thread sanitizer
	cmake --preset tsan $(CCACHE) >/dev/null
	cmake --build --preset tsan -j $(JOBS)
	ctest --preset tsan -j $(JOBS) --output-on-failure --progress

differential:  ## our HTTP parser beside llhttp and h11, after asan and setup
	TRICORN_H1_PROBE=build/asan/src/h1_probe .venv/bin/pytest -q --timeout 120 tests/protocol

differential-gunicorn: setup  ## beside Gunicorn 27.0.1: 300 scenarios, everything a user can see
	@sh tools/gunicorn.sh .venv-gunicorn $(PYTHON)
	.venv/bin/pytest $(PYTEST_OPTIONS) tests/differential

differential-short: setup  ## those of them that show most
	@sh tools/gunicorn.sh .venv-gunicorn $(PYTHON)
	$(call pytest,.venv,tests/differential -k "document or order_and_arguments or test_stop or test_page or bad_value or all_settings")

probe:  ## stacks read from outside, every hang, on every Python of this machine
	$(PYTHON) tests/probe/run.py --probe build/asan/src/look_probe --include src $(shell sh tools/pythons.sh)

blackbox: export WITH_TEST_PACKAGES = 1
blackbox: setup  ## a real server: frameworks, databases, time-outs, deaths, HTTP, PEP 3333, reload, stop
	$(call pytest,.venv,tests/blackbox tests/hangs)

blackbox-second:  ## those of them that depend on it, on a second Python
	@if [ -n "$(SECOND_PYTHON)" ]; then sh tools/setup.sh .venv-second $(SECOND_PYTHON) && { $(call pytest,.venv-second,$(SECOND_TESTS)); }; \
	else echo "SKIPPED: no second CPython 3.10 or later on this machine"; fi

hangs: export WITH_TEST_PACKAGES = 1
hangs: setup  ## every kind of trouble for real: what was said of it, and whether that is right
	.venv/bin/python tests/hangs/run.py

bench: setup  ## beside gunicorn, granian, bjoern and the floor, into bench/results
	sh bench/run.sh

soak: setup  ## 30 minutes of load with random worker kills
	.venv/bin/python bench/soak.py --minutes 30

rolling: setup  ## 200 rounds of HUP and of USR2 under load, for each kind of worker; nothing may be lost
	cd tests && ../.venv/bin/python -m blackbox.support.rolling --rounds $(ROLLING_ROUNDS)

fuzz:  ## each fuzz target for FUZZ_SECONDS; finds are left in build/fuzz
	@sh tools/packages.sh clang-14 libclang-rt-14-dev cmake ninja-build libfmt-dev nlohmann-json3-dev
	cmake --preset fuzz $(CCACHE) >/dev/null
	cmake --build --preset fuzz -j $(JOBS) --target $(FUZZ_TARGETS)
	for target in $(FUZZ_TARGETS); do sh tools/fuzz.sh $$target $(FUZZ_SECONDS) || exit 1; done

suites: setup  ## the test suites of others against a live Tricorn (downloads them)
	sh tests/suites/requests.sh .venv/bin/tricorn build/suites

docs:  ## write docs/settings.md and docs/diagnosis.md from the tables of settings and causes
	cmake --build --preset dev --target config_test diagnose_test
	TRICORN_UPDATE_DOCS=1 build/dev/src/config_test
	TRICORN_UPDATE_DOCS=1 build/dev/src/diagnose_test --gtest_filter='CausesDocument.*'

format:
	@sh tools/packages.sh clang-format-14
	clang-format-14 -i $$(git ls-files 'src/*.cc' 'src/*.h' 'fuzz/*.cc')
	.venv/bin/ruff format python tests examples tools

clean:
	rm -rf build .venv .venv-second .venv-gunicorn

CCACHE := $(if $(shell command -v ccache),-DCMAKE_CXX_COMPILER_LAUNCHER=ccache -DCMAKE_C_COMPILER_LAUNCHER=ccache)
