# Commands to build, test and measure. make, or make help, lists them.
.PHONY: help deps run test build vet format unit portable portable-short modules packager release-test release release-check cluster versions arm64 docker clean bench bench-forky soak lint race asan cgocheck valgrind fuzz vuln
export CGO_ENABLED = 1

help: ## List all commands
	@sed -nE 's/^([a-z0-9-]+):.*## (.*)/  make \1	\2/p' $(MAKEFILE_LIST) | expand -t 22

# The names are those of .ci/need.
needed = compiler pkg-config library mosquitto mosquitto_pub openssl ssl-headers certificates git

deps: ## Install all packages that run and test need, and say which
	@.ci/need $(needed)
	@echo "deps: all needed packages are installed"

run: deps ## Install missing packages, start a private broker and run examples/tour
	go run ./examples/tour

test: deps ## Install missing packages, then run all checks and tests
	@$(MAKE) --no-print-directory format build vet lint unit portable-short modules packager release-test

format: ## Check the formatting with gofmt
	@changes=$$(gofmt -l .) && [ -z "$$changes" ] || { echo "gofmt would change:" $$changes; exit 1; }

build: ## Build all packages; C compiler warnings are errors
	CGO_CFLAGS="-O2 -g -Werror" go build ./...

vet: ## Run go vet, also on the files that make asan builds
	go vet ./...
	go vet -asan ./...

unit: ## Run all tests of the main module with the race detector
	go test -race -count=1 -timeout 20m ./...

portable: ## Run all tests of the main module with the code for macOS and FreeBSD
	go vet -tags mosquitto_portable ./...
	go test -tags mosquitto_portable -race -count=1 -timeout 20m ./...

# The tests of what include/platform.h and the Go files with the build tag contain.
portable-short: ## The part of portable that takes less than a minute
	go vet -tags mosquitto_portable ./...
	go test -tags mosquitto_portable -count=1 . ./mqtttest
	go test -tags mosquitto_portable -count=1 -run 'RunOnce|NoticesALostConnection|Exec|UnixSocket|OverTLS|SetTLS_Reconnects' ./test
	go test -tags mosquitto_portable -count=1 -run 'Dialer|PrivateSocket|Relay|Flow|Connection_|Close_' ./mqtt

modules: ## Run go vet and the tests of the nested modules
	.ci/modules go vet ./...
	.ci/modules go test -race -count=1 ./...

packager: ## Check that a release can be fetched, vendored and installed
	.ci/packager

release-test: ## Test release and release-check in temporary clones
	.ci/release-test

release: ## Make the commit and the tags of a release, push nothing (VERSION=1.2.3)
	.ci/release "$(VERSION)"

release-check: ## Show what release would change, or check its tags (VERSION=1.2.3)
	.ci/release check "$(VERSION)"

cluster: ## Install missing packages, then test with NATS, RabbitMQ 3 and RabbitMQ 4 clusters
	@.ci/cluster

versions: ## Run all tests with the library and broker of Debian 13 and forky
	.ci/versions

arm64: ## Cross-compile for arm64; run tests and examples/tour in an emulator
	.ci/arm64

docker: ## Build both docker images; run the tests and the examples in them
	.ci/docker

clean: ## Remove the directories that versions, cluster, arm64 and docker keep
	.ci/clean

bench: deps ## Benchmark this module, C and other Go clients, takes 20 minutes; writes docs/bench.md
	cd test/bench && go run . -out ../../docs

bench-forky: ## Like bench, with libmosquitto 2.1 of Debian forky; writes docs/bench-forky.md
	.ci/bench-forky

soak: deps ## Check for lost messages and leaks during 10 minutes of faults (ARGS='-for 2m -seed 1')
	go run ./test/soak $(ARGS)

tool = go tool -modfile=$(CURDIR)/.ci/tools/go.mod

lint: ## Run staticcheck and golangci-lint on all modules
	$(tool) staticcheck ./...
	$(tool) golangci-lint run ./...
	.ci/modules $(tool) golangci-lint run ./...
	cd test/bench && $(tool) golangci-lint run ./...

race: unit ## Same as unit

asan: deps ## Run all tests with the address sanitizer, which also finds leaks in C
	ASAN_OPTIONS=fast_unwind_on_malloc=0:quarantine_size_mb=16 LSAN_OPTIONS=suppressions=$(CURDIR)/.ci/lsan.supp:print_suppressions=0 go test -asan -count=1 -timeout 40m ./...

cgocheck: deps ## Run all tests with strict cgo pointer checks and frequent garbage collection
	GOEXPERIMENT=cgocheck2 GODEBUG=invalidptr=1 GOGC=1 go test -count=1 -timeout 40m ./...

valgrind: deps ## Run examples/tour under valgrind to find memory errors and leaks
	@.ci/need valgrind
	.ci/valgrind

fuzz: deps ## Run each fuzz target for a minute (ARGS='10s Router': 10 s, targets with this name)
	.ci/fuzz $(ARGS)

vuln: ## Check the dependencies for known vulnerabilities; needs network access
	.ci/vuln
