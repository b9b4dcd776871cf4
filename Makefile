# Aquifer. `make help` lists what there is; every recipe is two lines at most, logic lives in scripts/.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PREFIX ?= /usr/local
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)

.PHONY: help demo demo-cluster demo-guest test verify bench images cluster-up cluster-down guest-up guest-down build install uninstall setup native generate format lint clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | awk -F'\t' '{printf "  %-12s %s\n", $$1, $$2}'

demo: build ## a claim, an unchanged CUDA program and a pooled GPU, in three minutes
	@node scripts/demo.ts

demo-cluster: images ## the same on a real Kubernetes of two nodes, in namespaces of this machine (root; needs Go)
	@node scripts/demo-cluster.ts

demo-guest: build ## the same in a real KVM guest that migrates while its containers compute (root; Debian)
	@scripts/guest-packages.sh && node scripts/demo-guest.ts

test: ## run everything: checks, unit, native and end to end (installs the Debian packages it names)
	@scripts/test.sh

verify: setup ## check that generated files, format, lint, imports and names are right
	@scripts/verify.sh

bench: build ## measure: JSON in build/bench and a table here (SUITE=dataplane for one suite)
	@node bench/run.ts $(if $(SUITE),--suite $(SUITE))

images: build ## write the images of operator, node, guest and examples as OCI archives to build/images
	@node scripts/images.ts

cluster-up: setup ## a real Kubernetes of two nodes on this machine (root; CLUSTER_ID=1 for another one)
	@node scripts/cluster.ts up

cluster-down: setup ## end it and remove all that it was
	@node scripts/cluster.ts down

guest-up: build ## a real KVM guest on this machine, under emulation where KVM runs none (root; scripts/guest.ts says what else)
	@scripts/guest-packages.sh && node scripts/guest.ts up

guest-down: setup ## end it and remove all that it was
	@node scripts/guest.ts down

build: setup native ## fill build/dist, the install prefix
	@scripts/assemble.sh

install: build ## copy build/dist to PREFIX (default /usr/local)
	@scripts/install.sh install "$(DESTDIR)$(PREFIX)"

uninstall: ## remove what install copied to PREFIX
	@scripts/install.sh uninstall "$(DESTDIR)$(PREFIX)"

setup: node_modules/.package-lock.json ## install the pinned Node and libraries
	@:

node_modules/.package-lock.json: package.json package-lock.json
	@scripts/setup.sh

native: ## compile the Rust parts
	@scripts/native.sh

generate: setup ## write CRDs, protocol code and reference pages anew from their sources
	@scripts/generate.sh

format: setup ## format all sources
	@prettier --write --log-level warn . && cargo fmt --manifest-path native/Cargo.toml --all

lint: setup ## type-check and lint
	@tsc --noEmit && npm run --silent lint

clean: ## remove what the build made
	@rm -rf build native/target
