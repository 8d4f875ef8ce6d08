# make speak, make test, make bench, make figures: each installs what it needs into .venv and, on
# Linux as root, system packages through apt. Nothing but Python and make has to be there before.
.DELETE_ON_ERROR:

PYTHON ?= python3
BIN := .venv/bin
comma := ,
LINUX := $(filter Linux,$(shell uname -s))
EXTRAS := phonemes$(if $(LINUX),$(comma)cpu)
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# What `make speak` says, and how.
SESSION ?= examples/sessions/claude.jsonl
TO ?= pt
SPEAKER ?= pf_dora

# Fails where there is no sound card to hear it on.
FIND_CARD := import sounddevice; sounddevice.query_devices(kind='output')

# Of tests: each takes a core, and gigabytes at times.
WORKERS ?= 2

# Spinning OpenMP threads slow each other down where cores are few.
export OMP_WAIT_POLICY ?= passive

.PHONY: speak test lint bench soak fuzz audit wheel docs figures clean

speak: .venv/speak
	$(BIN)/python -m mlx_speak.convert packages
	card=$$($(BIN)/python -c "$(FIND_CARD)" 2>/dev/null && echo "--output speakers"); \
	$(BIN)/mlx-speak --to $(TO) --speaker $(SPEAKER) $$card --output speech.wav < $(SESSION)
	@echo "speech.wav holds the speech."

# A file of tests stays with one worker, which has its models. What keeps real time goes last, while
# nothing else runs.
test: lint
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not sound" $(PYTEST)
	$(BIN)/python -m pytest -m sound $(PYTEST)

lint: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Measures every engine and prints it; `figures` does so for README and writes it there.
bench: .venv/test
	$(BIN)/python benchmarks/translation.py --model bergamot
	$(BIN)/python benchmarks/translation.py --model nllb
	$(BIN)/python benchmarks/speech.py
	$(BIN)/python benchmarks/xtts.py
	$(BIN)/python benchmarks/drafting.py
	$(BIN)/python benchmarks/pipeline.py
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/kernels.py
	$(BIN)/python benchmarks/roofline.py

# Two thousand sentences with faults in between, through stand-ins of the models and through real ones.
soak: .venv/test
	$(BIN)/python tests/soak.py
	$(BIN)/python tests/soak.py --models

# Ten minutes of hostile streams and files.
fuzz: .venv/test
	$(BIN)/python tests/fuzz.py

# Known vulnerabilities of what a user installs; fails where a package cannot be looked up.
audit: .venv/test
	$(PYTHON) -m venv build/audit
	build/audit/bin/python -m pip --disable-pip-version-check --quiet install pip-audit
	build/audit/bin/pip-audit --strict --no-deps --disable-pip -r constraints.txt

# Wheel and source archive in ./dist, tried out in an empty environment with pinned dependencies.
wheel: .venv/speak
	rm -rf dist build/trial && $(PYTHON) -m venv build/trial
	$(PIP) install build && $(BIN)/python -m build --outdir dist
	build/trial/bin/python -m pip --disable-pip-version-check --quiet install \
	  -c constraints.txt "$$(echo dist/*.whl)[$(EXTRAS)]"
	echo "All is well." | build/trial/bin/mlx-speak --to en --voice say --output build/trial.wav
	@ls -l dist

# The documentation as a site, in ./site.
docs: .venv/test
	$(PIP) install '.[docs]'
	$(BIN)/mkdocs build --strict

figures: .venv/test
	$(BIN)/python benchmarks/figures.py
	$(BIN)/python benchmarks/peers.py

.venv/speak: pyproject.toml
ifdef LINUX
	.ci/packages libportaudio2:libportaudio.so g++:g++ npm:npm
	@$(PYTHON) -c "import ensurepip" 2>/dev/null || .ci/packages python3-venv:python3-venv
endif
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) install --editable '.[$(EXTRAS)]'
	@touch $@

.venv/test: .venv/speak
ifdef LINUX
	.ci/packages jackd2:jackd clang:clang espeak-ng:espeak-ng openmpi-bin:mpirun
endif
	$(PIP) install 'torch==2.13.0'
	$(PIP) install --editable '.[$(EXTRAS),test,oracle]'
	$(PIP) install --no-deps 'kokoro==0.9.4' 'mlx-audio==0.6.2'
	@touch $@

clean:
	rm -rf .venv build dist *.egg-info speech.wav
