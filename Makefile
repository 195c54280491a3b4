# make demo   the whole system on this computer     make test   all that needs no torch
# Needs Python 3.11 or newer and make; everything else goes into .venv.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
ARCH ?= x86_64
STACK ?= swerve
VENV = .venv/bin
DEPLOY = .venv-deploy/bin
TRAINING = .venv-training/bin
FUZZING = .venv-fuzz/bin
PIP_INSTALL = -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
CHECK_PYTHON = $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
  { echo "swerve: needs Python 3.11 or newer: make PYTHON=/path/to/python3" >&2; exit 1; }
OFFLINE = { echo "swerve: packages could not be installed: is PyPI within reach, and the disk not full?" >&2; exit 1; }
export SAM_CLI_TELEMETRY = 0
export AWS_DEFAULT_REGION ?= us-east-1

.PHONY: help demo test proof test-training test-full fuzz lint build validate deploy empty-bucket clean
.DEFAULT_GOAL := help

help:  ## Say what there is to make
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 16

demo: .venv/.demo  ## A year of a real grocer's log through the real stack (FAST=1, KEEP=1)
	@$(VENV)/swerve demo $(if $(FAST),--fast) $(if $(KEEP),--keep)

test: .venv/.test  ## All tests that need no torch
	@$(VENV)/pytest -m "not training and not proof"

proof: .venv/.test  ## The promises, on the whole log of a year (minutes)
	@$(VENV)/pytest -m proof --verbose

test-training: .venv-training/.test  ## Tests that train a small network
	@$(TRAINING)/pytest -m training

test-full: test test-training  ## All tests

fuzz: .venv-fuzz/.installed  ## Fuzz what reads uploads for SECONDS (600), guided by coverage
	@$(FUZZING)/python -m tests.fuzz $(or $(SECONDS),600)

lint: .venv/.test  ## ruff and mypy
	$(VENV)/ruff check
	$(VENV)/ruff format --check
	$(VENV)/mypy

build: .venv-deploy/.installed  ## Build functions and layers for Lambda (ARCH=arm64); no Docker
	PYTHON=$(abspath $(DEPLOY)/python) ARCH=$(subst arm64,aarch64,$(ARCH)) \
	  $(DEPLOY)/sam build --parameter-overrides Architecture=$(ARCH)

validate: .venv-deploy/.installed .venv/.test  ## Check the template, as AWS and as we promise it
	$(DEPLOY)/sam validate --lint
	$(VENV)/pytest tests/contract

deploy: build  ## Build, then ask for the parameters and deploy into your account
	$(DEPLOY)/sam deploy --guided --stack-name $(STACK)

empty-bucket: .venv/.demo  ## Delete all uploads of STACK, so that the stack can be deleted
	$(VENV)/swerve empty-uploads --stack $(STACK)

clean:  ## Remove what was built and what the local stack wrote
	rm -rf .aws-sam .swerve build .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/bin/python:
	@$(CHECK_PYTHON)
	@$(PYTHON) -m venv .venv

.venv/.demo: .venv/bin/python pyproject.toml constraints.txt
	@echo "Installing into .venv ..."
	@$< $(PIP_INSTALL) --editable '.[local]' || $(OFFLINE)
	@touch $@

.venv/.test: .venv/.demo
	@$(VENV)/python $(PIP_INSTALL) --editable '.[local,test,lint]' || $(OFFLINE)
	@touch $@

.venv-training/.test: pyproject.toml constraints.txt
	@$(CHECK_PYTHON)
	@test -x $(TRAINING)/python || $(PYTHON) -m venv .venv-training
	@$(TRAINING)/python $(PIP_INSTALL) --editable '.[local,test,training]' || $(OFFLINE)
	@touch $@

# Atheris has wheels for few systems: nothing else depends on it.
.venv-fuzz/.installed: pyproject.toml constraints.txt
	@$(CHECK_PYTHON)
	@test -x $(FUZZING)/python || $(PYTHON) -m venv .venv-fuzz
	@$(FUZZING)/python $(PIP_INSTALL) --editable '.[fuzz]' || $(OFFLINE)
	@touch $@

# The SAM CLI pins another boto3 than the emulator: it has an environment of its own.
.venv-deploy/.installed:
	@$(CHECK_PYTHON)
	@test -x $(DEPLOY)/python || $(PYTHON) -m venv .venv-deploy
	@$(DEPLOY)/python -m pip install --quiet --disable-pip-version-check aws-sam-cli==1.170.0 || $(OFFLINE)
	@touch $@
